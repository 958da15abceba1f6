"""What is removed of a pod, and in which order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.containers.cleaning import Cleaner, logged_attempts
from agent.cri.errors import CriError
from agent.cri.model import Container, State


class Refuses:
    """A runtime that is killed, or still busy with the container, when it is to be removed."""

    async def remove_container(self, container_id: str) -> None:
        raise CriError("RemoveContainer", "Unknown", "container is in starting state, can't be removed")

    def drop(self, container_id: str) -> None:
        raise AssertionError("it is still there")


def test_a_log_goes_before_its_container(tmp_path: Path) -> None:
    """The other way round a kill between the two leaves a log, which the next start takes for that of an earlier run:
    it would count a restart."""
    log = tmp_path / "logs/c/0.log"
    log.parent.mkdir(parents=True)
    log.touch()
    run = Container("id", "sb", "uid", "default", "p", "c", 0, State.CREATED, 1, log_path=str(log))
    runtime: Any = Refuses()
    with pytest.raises(CriError):
        asyncio.run(Cleaner(runtime, runtime, tmp_path, tmp_path).remove(run))
    assert logged_attempts(tmp_path / "logs", ["c"]) == {}
