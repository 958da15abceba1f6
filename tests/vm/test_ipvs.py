"""On Debian's own kernel: what the project's tests of IPVS mode say there, with real packets."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.vm import machine

ROOT = Path(__file__).resolve().parent.parent.parent
# What has ipvs in its name, there; tests of every mode have one of this mode where the kernel can do it.
INSIDE = ("tests/vm/inside_ipvs.py", "tests/netproxy/test_kernel.py", "tests/netproxy/policy/test_kernel.py")
SECONDS = 840.0

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(machine.missing()), reason=machine.missing() or "-"),
]


@pytest.fixture(scope="module")
def outcome() -> Iterator[tuple[machine.Outcome, dict[str, str]]]:
    """What the guest said, and what it says of each test: "" or why it failed."""
    with tempfile.TemporaryDirectory(prefix="wht-vm-", dir="/var/tmp") as directory:
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=/mnt/exchange/junit.xml"]
        done = machine.run(machine.prepare(), [*argv, "-k", "ipvs", *INSIDE], ROOT, Path(directory), SECONDS)
        yield done, _verdicts(Path(directory) / "junit.xml")


def _verdicts(file: Path) -> dict[str, str]:
    found = {}
    for case in ElementTree.parse(file).iter("testcase"):
        problems = [p.get("message", "?") for p in case if p.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = "; ".join(problems)
    return found


def test_ipvs_does_its_work_on_debians_kernel(outcome: tuple[machine.Outcome, dict[str, str]]):
    done, verdicts = outcome
    print(f"{len(verdicts)} tests in the guest, {done.seconds:.1f} s")
    assert done.status == 0, done.output[-6000:]
    for file in INSIDE:
        assert any(Path(file).stem in name for name in verdicts), done.output
    # A guest has all that these tests need: one that skips itself proves nothing.
    assert {name: told for name, told in verdicts.items() if told} == {}
