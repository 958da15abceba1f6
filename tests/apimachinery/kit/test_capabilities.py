"""What a running process gives up is what setpriv(1) would have started it without."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from apimachinery.kit.capabilities import NUMBERS
from lab import privileges

STATUS = "print([line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNew'))])"
KEPT = [(), ("net_admin",), privileges.CAPABILITIES["agent"]]


def told(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kept", KEPT, ids=["nothing", "one", "agent"])
def test_giving_up_is_what_setpriv_does(kept: tuple[str, ...]) -> None:
    giving_up = f"from apimachinery.kit.capabilities import keep_only; keep_only({kept!r}); {STATUS}"
    assert told(sys.executable, "-c", giving_up) == told(*privileges.dropping(kept), sys.executable, "-c", STATUS)


def test_every_capability_that_a_daemon_keeps_has_its_number() -> None:
    for kept in privileges.CAPABILITIES.values():
        assert kept == privileges.EVERYTHING or set(kept) <= NUMBERS.keys()
