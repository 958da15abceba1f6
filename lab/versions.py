"""Which versions are at work: ours, the API's, those of the programs a lab runs on."""

from __future__ import annotations

import platform
import re

from apimachinery.kit import command
from apimachinery.version import GIT_VERSION
from lab.supervisor_client import SOURCE

DEADLINE = 10.0
# How each is asked; the first number with a dot in the answer is its version.
_PROGRAMS = {
    "containerd": ("containerd", "--version"),
    "runc": ("runc", "--version"),
    "nft": ("nft", "--version"),
    "iptables": ("iptables", "--version"),
    "kubectl": ("kubectl", "version", "--client"),
}


async def gather() -> dict[str, str]:
    """Version by name; "-" for a program that is not there."""
    found = {"wherry": own(), "kubernetes": GIT_VERSION, "python": platform.python_version()}
    for name, argv in _PROGRAMS.items():
        try:
            asked = await command.run(argv, timeout=DEADLINE, check=False)
        except command.CommandError:
            found[name] = "-"
            continue
        told = re.search(rb"v?(\d+\.\d+[\w.+~-]*)", asked.stdout)
        found[name] = told[1].decode() if told else "-"
    return found | {"linux": platform.release()}


def own() -> str:
    """The project's version."""
    told = re.search(r'^version = "(.+)"$', (SOURCE / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return told[1] if told else "-"
