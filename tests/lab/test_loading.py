"""What starts often loads only what it uses: units start by short commands, and an emulated machine, which loads twenty
times as slowly, starts a dozen of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Not the names of its modes, which options have for choice.
PROXY = ("netproxy.app", "netproxy.proxier", "netproxy.nftables", "netproxy.iptables", "netproxy.userspace")
# By who starts: whole rooms of whose work it does none.
FOREIGN = {
    "lab.commands.server": ("controlplane.scheduler", "controlplane.apiserver", *PROXY, "agent.pods", "aiohttp"),
    "lab.commands.worker": ("controlplane.scheduler", "controlplane.apiserver", *PROXY, "agent.pods", "aiohttp"),
    "controlplane.controllers.app": ("controlplane.apiserver.admission.chain", "controlplane.apiserver.registry"),
    "controlplane.scheduler.app": ("controlplane.apiserver", "controlplane.controllers"),
    "lab.nodeagent": ("controlplane", "netproxy"),
    "netproxy.app": ("controlplane", "agent.pods"),
}


@pytest.mark.parametrize("module", FOREIGN)
def test_nothing_is_loaded_of_rooms_whose_work_this_does_not_do(module: str):
    script = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    argv = [sys.executable, "-c", script]
    loaded = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert module in loaded
    wrong = [name for name in loaded if any(name == room or name.startswith(f"{room}.") for room in FOREIGN[module])]
    assert not wrong, wrong[:10]
