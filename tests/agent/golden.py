"""Recordings of upstream's kubelet."""

import json

from tests import golden


def cases(name: str) -> list[dict]:
    """The cases of `cri/NAME`; empty without recordings."""
    if golden.FOLDER is None or not (golden.FOLDER / "cri" / name).exists():
        return []
    found: list[dict] = json.loads((golden.FOLDER / "cri" / name).read_text())["cases"]
    return found


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
