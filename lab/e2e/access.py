"""Ways onto a cluster's machines, for the trials that switch one off or restart what runs on it."""

from __future__ import annotations

import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from typing import Any

import pytest

from lab.e2e.cluster import Failed, run
from lab.supervisor_client import SOURCE

COMMAND_SECONDS = 300.0


class Access(ABC):
    """`daemon` is agent, proxy or containerd."""

    @abstractmethod
    def off(self, node: str) -> None:
        """Switch the machine off, without a word to anybody on it."""

    @abstractmethod
    def on(self, node: str) -> None:
        """Switch it on again."""

    @abstractmethod
    def reboot(self, node: str) -> None:
        """Have the machine end in order and begin again."""

    @abstractmethod
    def restart(self, node: str, daemon: str) -> None:
        """End the daemon; whoever keeps it up starts it again."""


class NoAccess(Access):
    """A cluster of which there is a kubeconfig and no more."""

    _WHY = "needs a way onto the machines: a lab (--name), or --vagrant"

    def off(self, node: str) -> None:
        """Not here."""
        pytest.skip(self._WHY)

    def on(self, node: str) -> None:
        """Not here."""
        pytest.skip(self._WHY)

    def reboot(self, node: str) -> None:
        """Not here."""
        pytest.skip(self._WHY)

    def restart(self, node: str, daemon: str) -> None:
        """Not here."""
        pytest.skip(self._WHY)


class LabAccess(Access):
    """A lab on this machine."""

    def __init__(self, lab: str) -> None:
        self._lab = lab

    def off(self, node: str) -> None:
        """As `wherry node stop`."""
        self._wherry("node", "stop", node)

    def on(self, node: str) -> None:
        """As `wherry node start`."""
        self._wherry("node", "start", node)

    def reboot(self, node: str) -> None:
        """A lab's node has no machine of its own: stopped, it has none of its processes left."""
        self.off(node)
        self.on(node)

    def restart(self, node: str, daemon: str) -> None:
        """SIGKILL."""
        parts: list[dict[str, Any]] = json.loads(self._wherry("status", "-o", "json"))["components"]
        pid = next((int(part["pid"]) for part in parts if part["name"] == f"{node}/{daemon}"), 0)
        if not pid:
            raise Failed(f"{daemon} of {node} does not run")
        os.kill(pid, signal.SIGKILL)

    def _wherry(self, *arguments: str) -> str:
        argv = ["env", f"PYTHONPATH={SOURCE}", sys.executable, "-m", "lab", *arguments, "--name", self._lab]
        return run(argv, timeout=COMMAND_SECONDS)


class VagrantAccess(Access):
    """The virtual machines of this checkout's Vagrantfile, whose names are the nodes'."""

    def __init__(self, patience: float) -> None:
        self._seconds = COMMAND_SECONDS * max(patience, 1.0)

    def off(self, node: str) -> None:
        """Pull the plug."""
        self._vagrant("halt", "--force", node)

    def on(self, node: str) -> None:
        """As `vagrant up`, which waits until the node is Ready."""
        self._vagrant("up", node)

    def reboot(self, node: str) -> None:
        """As `vagrant reload`: what runs on it is told to end, in its time."""
        self._vagrant("reload", node)

    def restart(self, node: str, daemon: str) -> None:
        """SIGKILL, and systemd's answer to it."""
        unit = daemon if daemon == "containerd" else f"wherry-{daemon}"
        self._vagrant("ssh", node, "-c", f"sudo systemctl kill --kill-who=main --signal=KILL {unit}")

    def _vagrant(self, *arguments: str) -> str:
        argv = ["env", f"VAGRANT_CWD={SOURCE}", "vagrant", "--no-tty", *arguments]
        return run(argv, timeout=self._seconds)
