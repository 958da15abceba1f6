"""Where a pod's files lie. Pure; the layout is upstream's, tools depend on it."""

from __future__ import annotations

from pathlib import Path

from agent import podspec
from apimachinery.objects import Obj


def pods_directory(root: Path) -> Path:
    return root / "pods"


def pod_directory(root: Path, uid: str) -> Path:
    return root / "pods" / uid


def hosts_file(root: Path, uid: str) -> Path:
    return pod_directory(root, uid) / "etc-hosts"


def container_directory(root: Path, uid: str, container: str) -> Path:
    """Holds one termination log per start."""
    return pod_directory(root, uid) / "containers" / container


def log_directory(logs: Path, pod: Obj) -> Path:
    return logs / f"{podspec.namespace(pod)}_{podspec.name(pod)}_{podspec.uid(pod)}"
