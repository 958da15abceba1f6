"""Recordings of upstream's kubelet, where they lie beside the checkout; tests skip where they do not."""

import json
import os
from pathlib import Path


def cases(name: str) -> list[dict]:
    """The cases of ``cri/NAME``; empty without recordings."""
    named = os.environ.get("WHERRY_GOLDEN")
    parents = list(Path(__file__).resolve().parents)
    for folder in [Path(named)] if named else [p / "shared/golden" for p in parents]:
        file = folder / "cri" / name
        if file.exists():
            found: list[dict] = json.loads(file.read_text())["cases"]
            return found
    return []


def static_pod(manifest: dict) -> dict:
    """The manifest as the file source delivers it on a node called node1."""
    pod = json.loads(json.dumps(manifest))
    meta = pod["metadata"]
    meta["name"] += "-node1"
    meta["uid"] = "$UID"
    meta["annotations"] = {
        **meta.get("annotations", {}),
        "kubernetes.io/config.hash": "$UID",
        "kubernetes.io/config.seen": "$TIME",
        "kubernetes.io/config.source": "file",
    }
    pod["spec"]["nodeName"] = "node1"
    return pod
