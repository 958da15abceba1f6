"""Tests that a guest runs: each has to pass in there."""

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
SECONDS = 840.0
MARKS = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(machine.missing()), reason=machine.missing() or "-"),
]


def compile_packages(*packages: str) -> None:
    """What is not compiled here would be in every guest, twenty times slower."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], cwd=ROOT, timeout=600, check=True)


def every_test_passes(label: str, file: str, words: str = "") -> None:
    """Boot a guest for the tests of a file, or those that `words` choose (pytest's -k)."""
    argv = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--durations=0"]
    # One that stands still shows where, before its guest is ended.
    argv += ["-o", "faulthandler_timeout=300"]
    with tempfile.TemporaryDirectory(prefix="wht-vm-", dir="/var/tmp") as directory:
        argv += ["--junitxml=/mnt/exchange/junit.xml", *(["-k", words] if words else []), file]
        done = machine.run(machine.prepare(), argv, ROOT, Path(directory), SECONDS)
        verdicts = _verdicts(Path(directory) / "junit.xml")
    print(f"{label}: {len(verdicts)} tests in the guest, {done.seconds:.1f} s\n{done.output}")
    assert done.status == 0 and verdicts, done.output[-6000:]
    # A guest has all that these tests need: one that skips itself proves nothing.
    assert {name: told for name, told in verdicts.items() if told} == {}


def _verdicts(file: Path) -> dict[str, str]:
    found = {}
    for case in ElementTree.parse(file).iter("testcase"):
        problems = [p.get("message", "?") for p in case if p.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = "; ".join(problems)
    return found
