"""Simulated nodes beside a lab's own, as a test uses them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lab.simulate import plan
from tests.cluster.commands import ROOT
from tests.cluster.lab import Lab
from tests.waiting import eventually

TOLERATION = {"key": plan.LABEL, "operator": "Exists"}


@contextmanager
def simulated(lab: Lab, folder: Path, nodes: int, pods: int = 0, **stages: Any) -> Iterator[None]:
    """`wherry simulate` until the block ends; it then ends well and leaves no node. `stages`: what its file says."""
    file = folder / "stages.yaml"
    file.write_text(yaml.safe_dump(stages))
    argv = [sys.executable, "-m", "lab", "simulate", "--name", lab.name, "--nodes", str(nodes), "--pods", str(pods)]
    output = folder / "simulate.log"
    with output.open("w") as log:
        process = subprocess.Popen([*argv, "--stages", str(file)], cwd=ROOT, stdout=log, stderr=log)
    try:
        eventually(lambda: "Ctrl-C ends it" in output.read_text(), what="the nodes are there")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    assert (status, lab.get("nodes", label=f"{plan.LABEL}=true")["items"]) == (0, []), output.read_text()


def pod(name: str, cpu: str = "100m", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that goes to a simulated node alone; `extended`: what it asks for of extended resources."""
    extended = spec.pop("extended", {})
    resources = {"requests": {"cpu": cpu, **extended}, "limits": extended}
    container = {"name": "c", "image": "simulated", "resources": resources}
    placed = {"nodeSelector": {plan.LABEL: "true"}, "tolerations": [TOLERATION], "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": placed}


def bound(lab: Lab) -> dict[str, str]:
    """Nodes by pod, of those pods that have one and stay."""
    found = lab.get("pods")["items"]
    there = [p for p in found if "deletionTimestamp" not in p["metadata"]]
    return {p["metadata"]["name"]: p["spec"]["nodeName"] for p in there if p["spec"].get("nodeName")}
