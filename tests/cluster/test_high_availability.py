"""Three of everything on etcd: some are lost under traffic and writes; copies go from one store to the other."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controlplane.store import backup
from tests.cluster.conftest import kubectl_path
from tests.cluster.lab import Lab, fetch, ready, traffic, web, wherry
from tests.etcds import program
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

NAME = "whtha"


@pytest.fixture(scope="module")
def ha() -> Iterator[Lab]:
    program("3.4")
    wherry("down", "--name", NAME, check=False)
    try:
        wherry("up", "--name", NAME, "--nodes", "1", "--control-planes", "3", "--no-cloud")
        yield Lab(NAME, kubectl_path())
    finally:
        wherry("down", "--name", NAME)


@dataclass
class Writes:
    """What a client that never stops writing was answered."""

    acknowledged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    rest: float = 0.0
    """Seconds between two writes."""


@contextmanager
def writing(lab: Lab, stem: str) -> Iterator[Writes]:
    seen, done = Writes(), threading.Event()

    def write() -> None:
        last = time.monotonic()
        for number in itertools.count():
            if done.is_set():
                return
            name = f"{stem}-{number}"
            try:
                status = lab.post("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
                assert status == 201, f"HTTP {status}"
            except (OSError, AssertionError, http.client.HTTPException) as error:
                seen.errors.append(repr(error))
                time.sleep(0.1)
                continue
            seen.acknowledged.append(name)
            seen.longest = max(seen.longest, time.monotonic() - last)
            last = time.monotonic()
            time.sleep(seen.rest)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join(60)


def test_one_of_each_is_lost_under_traffic_and_no_acknowledged_write_with_it(ha: Lab) -> None:
    ha.apply(*web("web", 1))
    address = ha.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: [pod for pod in ha.running("app=web") if ready(pod)], what="the web server is ready")
    assert eventually(lambda: fetch(address), what="the Service answers")
    servers = endpoints(ha)
    assert len(servers) == 3
    with traffic(address) as asked, writing(ha, "lost") as written:
        for name in ("apiserver", "etcd-1", "apiserver-2", "etcd-2"):
            lose(ha, name, written)
    assert not asked.errors, "the data path needs none of them"
    assert written.longest < 20
    there = {each["metadata"]["name"] for each in ha.get("configmaps")["items"]}
    assert set(written.acknowledged) <= there
    eventually(lambda: endpoints(ha) == servers, what="all three are shown again")


def lose(lab: Lab, name: str, written: Writes) -> None:
    """Kill one in the middle of writes, and wait until it is back and writes were answered meanwhile."""
    written.rest = 0.0
    begun = len(written.acknowledged)
    eventually(lambda: len(written.acknowledged) > begun + 5, what=f"writes go on with {name}")
    pid, before = lab.pid(name), len(written.acknowledged)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(written.acknowledged) > before + 20, what=f"writes go on without {name}")
    # Until the next one goes, a few writes show as much as all that fit in.
    written.rest = 0.1
    eventually(lambda: lab.pid(name) not in (0, pid), what=f"{name} is back")
    # Without any second member in trouble: that would be the end of the majority.
    eventually(lambda: lab.kubectl("get", "--raw", "/readyz", check=False) == "ok")


def test_all_servers_are_restarted_in_turns_and_no_request_fails(ha: Lab) -> None:
    eventually(lambda: len(endpoints(ha)) == 3, what="all three are shown")
    with writing(ha, "rolled") as written:
        for name in ("apiserver", "apiserver-2", "apiserver-3"):
            before = len(written.acknowledged)
            restart(ha, name)
            assert len(written.acknowledged) > before
    assert not written.errors


def restart(lab: Lab, name: str) -> None:
    """Tell one to stop, and wait until its next life is shown to clients."""
    pid = lab.pid(name)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: lab.pid(name) not in (0, pid), what=f"{name} is started again")
    eventually(lambda: len(endpoints(lab)) == 3, what=f"{name} is shown again")


def endpoints(lab: Lab) -> list[str]:
    subsets = lab.get("endpoints", "kubernetes")["subsets"]
    return [each["ip"] for subset in subsets for each in subset["addresses"]]


def test_a_copy_is_put_back_and_goes_to_the_other_store(ha: Lab, tmp_path: Path) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"k": "v"}}
    ha.apply(config)
    copy = tmp_path / "copy.db"
    assert "is whole" in wherry("backup", "--name", NAME, str(copy)).stdout
    ha.kubectl("delete", "configmap", "kept")
    refused = wherry("restore", "--name", NAME, str(copy), check=False)
    assert refused.returncode and "wherry stop" in refused.stderr
    wherry("stop", "--name", NAME)
    told = wherry("restore", "--name", NAME, str(copy)).stdout
    assert "objects are back" in told and "is kept in" in told
    wherry("start", "--name", NAME)
    # One server answers by now; the others, which start beside it, may be asked as well.
    assert eventually(lambda: ha.get("configmap", "kept"), what="it is there again")["data"] == {"k": "v"}
    eventually(lambda: all(ready(node) for node in ha.get("nodes")["items"]), what="the node is ready")
    # The other way: the same copy in a file, which one API server serves.
    other = tmp_path / "state.db"
    keys = [change.key for change in backup.read(copy)[1]]
    assert backup.restore(copy, other)[0] == len(keys) and "configmaps/default/kept" in keys
