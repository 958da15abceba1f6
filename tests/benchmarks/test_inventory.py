"""What a look at a node makes of things that go while they are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.kills import inventory as looking
from lab import processes
from lab.paths import Paths

PLACE = looking.Place(Paths("wht-nowhere"), "node1")


async def no_links(_: looking.Place) -> Iterable[str]:
    return []


def test_a_look_at_what_goes_just_then_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter((FileNotFoundError, ProcessLookupError, None))

    def look(_: looking.Place) -> list[str]:
        if problem := next(looks):
            raise problem
        return ["there"]

    monkeypatch.setattr(looking, "_LOOKS", {"thing": look})
    monkeypatch.setattr(looking, "_links", no_links)
    assert asyncio.run(looking.inventory(PLACE)) == {("thing", "there")}


def test_what_is_never_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_: looking.Place) -> list[str]:
        raise FileNotFoundError(2, "No such file or directory", "nsenter")

    monkeypatch.setattr(looking, "_LOOKS", {"thing": look})
    monkeypatch.setattr(looking, "_LOOKS_AT_MOST", 2)
    with pytest.raises(RuntimeError, match=r"each of 2 looks, last: .*'nsenter'"):
        asyncio.run(looking.inventory(PLACE))


def test_a_shim_that_has_ended_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {1: ("containerd-shim", "-id", "a"), 2: ()}

    def daemons_of(_: Path) -> set[int]:
        return set(words)

    monkeypatch.setattr(processes, "daemons_of", daemons_of)
    monkeypatch.setattr(processes, "arguments", words.__getitem__)
    assert list(looking._shims(PLACE)) == ["a (pid 1)"]
