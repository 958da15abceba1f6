"""What a lab's scheduler does by a file of the user's: profiles, a plugin beside the file, a program that is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from controlplane.scheduler import configuration
from lab.simulate import plan
from tests.cluster.lab import Lab
from tests.cluster.simulated import bound, pod, simulated
from tests.waiting import eventually

THING = "example.com/thing"
CHOSEN = plan.node_name(2)
PLUGIN = """
from controlplane.scheduler.changes import Change
from controlplane.scheduler.framework import Plugin, Rejection


class AtMost(Plugin):
    name = "AtMost"
    helped_by = frozenset((Change.NODE_ADDED, Change.POD_REMOVED))

    def __init__(self, pods):
        self.pods = pods

    def filter(self, state, pod, info):
        there = sum(other.profile == pod.profile for other in info.pods.values())
        return Rejection(f"node(s) had {self.pods} of these") if there >= self.pods else None
"""


class _Extender(BaseHTTPRequestHandler):
    """Leaves one node."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"NodeNames": [name for name in asked["NodeNames"] if name == CHOSEN]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def configured(folder: Path) -> Iterator[Path]:
    """A file with all of it, while the program that it names answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Extender)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield _written(folder, server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def _written(folder: Path, port: int) -> Path:
    most = {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}
    own = "whtquiet:AtMost"
    profiles = [
        {"schedulerName": "default-scheduler"},
        {"schedulerName": "packing", "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": most}}]},
        {
            "schedulerName": "quiet",
            "plugins": {"multiPoint": {"enabled": [{"name": own}]}},
            "pluginConfig": [{"name": own, "args": {"pods": 1}}],
        },
    ]
    extender = {"urlPrefix": f"http://127.0.0.1:{port}/", "filterVerb": "filter", "nodeCacheCapable": True}
    extender |= {"managedResources": [{"name": THING, "ignoredByScheduler": True}]}
    head = {"apiVersion": configuration.API_VERSION, "kind": configuration.KIND}
    (folder / "whtquiet.py").write_text(PLUGIN)
    file = folder / "scheduler.yaml"
    file.write_text(yaml.safe_dump({**head, "profiles": profiles, "extenders": [extender]}))
    return file


def check(lab: Lab, folder: Path) -> None:
    """Pods of each profile go where its plugins, and the extender, want them."""
    things = {THING: "1"}
    with simulated(lab, folder, 3, cpu="1"):
        lab.apply(*(pod(f"pack{number}", schedulerName="packing") for number in range(4)))
        lab.apply(*(pod(f"quiet{number}", schedulerName="quiet") for number in range(4)))
        lab.apply(*(pod(f"thing{number}", extended=things) for number in range(2)))
        eventually(lambda: len(bound(lab)) == 9, what="all but one have nodes")
        where = bound(lab)
        assert len({where[f"pack{number}"] for number in range(4)}) == 1
        assert {where[f"thing{number}"] for number in range(2)} == {CHOSEN}
        (refused,) = {f"quiet{number}" for number in range(4)} - set(where)
        assert len({node for name, node in where.items() if name.startswith("quiet")}) == 3
        told = eventually(lambda: _told(lab, refused), what="it is told why")
        assert "3 node(s) had 1 of these" in told, told
        lab.clear()
        eventually(lambda: not bound(lab), what="the pods are gone")


def _told(lab: Lab, name: str) -> str:
    found = lab.get("events", field=f"involvedObject.name={name},reason=FailedScheduling")["items"]
    return "\n".join(event["message"] for event in found)
