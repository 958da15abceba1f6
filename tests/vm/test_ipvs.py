"""On Debian's own kernel: what the project's tests of IPVS mode say there, with real packets."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.vm import machine

ROOT = Path(__file__).resolve().parent.parent.parent
# Each is one guest's work: a file, and which of its tests. Those of every mode have one of this mode where the kernel
# can do it.
PORTIONS = {
    "kinds": ("tests/vm/inside_kinds.py", ""),
    "healing": ("tests/vm/inside_healing.py", ""),
    "endings": ("tests/vm/inside_endings.py", ""),
    "packets": ("tests/netproxy/test_kernel.py", "ipvs and not load"),
    "load": ("tests/netproxy/test_kernel.py", "ipvs and load"),
    "addresses": ("tests/netproxy/test_packets.py", "ipvs"),
    "daemon": ("tests/netproxy/test_daemon.py", "ipvs"),
    "policies": ("tests/netproxy/policy/test_kernel.py", "ipvs"),
}
SECONDS = 840.0

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(machine.missing()), reason=machine.missing() or "-"),
]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """What is not compiled here would be in every guest, twenty times slower."""
    packages = ("apimachinery", "benchmarks", "controlplane", "lab", "netproxy")
    subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], cwd=ROOT, timeout=600, check=True)


def _verdicts(file: Path) -> dict[str, str]:
    found = {}
    for case in ElementTree.parse(file).iter("testcase"):
        problems = [p.get("message", "?") for p in case if p.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = "; ".join(problems)
    return found


@pytest.mark.parametrize("portion", PORTIONS)
def test_ipvs_does_its_work_on_debians_kernel(portion: str) -> None:
    file, words = PORTIONS[portion]
    argv = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--durations=0"]
    # One that stands still shows where, before its guest is ended.
    argv += ["-o", "faulthandler_timeout=300"]
    with tempfile.TemporaryDirectory(prefix="wht-vm-", dir="/var/tmp") as directory:
        argv += ["--junitxml=/mnt/exchange/junit.xml", *(["-k", words] if words else []), file]
        done = machine.run(machine.prepare(), argv, ROOT, Path(directory), SECONDS)
        verdicts = _verdicts(Path(directory) / "junit.xml")
    print(f"{portion}: {len(verdicts)} tests in the guest, {done.seconds:.1f} s\n{done.output}")
    assert done.status == 0 and verdicts, done.output[-6000:]
    # A guest has all that these tests need: one that skips itself proves nothing.
    assert {name: told for name, told in verdicts.items() if told} == {}
