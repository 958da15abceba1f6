"""The kubeconfig of the person who called, also through sudo: a lab adds its context when asked, and takes it away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from apimachinery import kubeconfig
from lab import names
from lab.paths import Paths


def merge(paths: Paths) -> None:
    """Add the lab's context to the kubeconfig of the person who called (also through sudo)."""
    own = path()
    kubeconfig.merge(own, kubeconfig.load(paths.kubeconfig), names.context(paths.lab))
    owner, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if owner.isdigit() and group.isdigit():
        for each in (own.parent, own):
            shutil.chown(each, int(owner), int(group))


def path() -> Path:
    """Where it lies, whether it is there or not."""
    user = os.environ.get("SUDO_USER", "")
    home = os.path.expanduser(f"~{user}")  # noqa: PTH111  (leaves the name of somebody unknown as it is)
    return Path(home if home.startswith("/") else "/", ".kube", "config")
