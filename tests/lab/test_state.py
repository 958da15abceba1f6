"""The lab's lock: one command at a time, and no file left of a lab that is not there."""

import threading
import time
from pathlib import Path

import pytest

from lab import paths as places
from lab import state
from lab.paths import Paths


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "RUN", tmp_path / "run" / "wherry")
    monkeypatch.setattr(places, "STATE", tmp_path / "state")
    (tmp_path / "run").mkdir()


def test_holders_take_turns_even_when_the_file_goes_in_between() -> None:
    inside, most = 0, 0

    def hold() -> None:
        nonlocal inside, most
        for _ in range(20):
            with state.locked(Paths("whta")):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
    assert not places.RUN.exists()


def test_the_lock_of_a_lab_that_is_there_stays() -> None:
    lab = Paths("whta")
    lab.state.mkdir(parents=True)
    with state.locked(lab):
        pass
    assert lab.lock.exists()
