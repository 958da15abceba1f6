"""A command that tests fork is one that was started: streams, status, environment, and an end if it takes too long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.commands import ROOT, Commands

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as made:
        yield made


@pytest.mark.parametrize("arguments", [["version"], ["nonsense"], ["kubeconfig", "--name", "whtx"], ["up", "--help"]])
def test_it_prints_and_ends_as_one_that_was_started(commands: Commands, arguments: list[str]) -> None:
    argv = [sys.executable, "-m", "lab", *arguments]
    started = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)
    forked = commands.run(arguments, ENVIRONMENT, 60)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_one_does_not_see_what_another_was_given(commands: Commands) -> None:
    # Click asks this variable for words to complete a command with.
    asked = {**ENVIRONMENT, "_WHERRY_COMPLETE": "bash_source"}
    assert "COMPREPLY" in commands.run([], asked, 60).stdout
    assert "COMPREPLY" not in commands.run([], ENVIRONMENT, 60).stdout


def test_one_that_takes_too_long_is_killed(commands: Commands) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        commands.run(["up", "--help"], ENVIRONMENT, 0.0)
