"""Several runs of `wherry test` on one machine leave each other alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab import neighbours
from lab.testing import sweep as sweeping


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the machine's limits of neighbours, which other runs may need just now."""
    done: list[str] = []
    monkeypatch.setattr(neighbours, "make_room", lambda _: done.append("made"))
    monkeypatch.setattr(neighbours, "put_back", lambda *_: done.append("put back"))
    return done


def test_nobody_sweeps_while_another_run_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: list[str]
) -> None:
    swept: list[str] = []
    where = "first begins"

    async def sweep() -> None:
        swept.append(where)

    monkeypatch.setattr(sweeping, "sweep", sweep)

    killed = tmp_path / "cache" / f"{sweeping.REPORTS}of-a-run-that-was-killed"
    killed.mkdir(parents=True)

    async def runs() -> None:
        nonlocal where
        first, second = sweeping.swept(tmp_path / "cache"), sweeping.swept(tmp_path / "cache")
        await first.__aenter__()
        where = "second begins"
        await second.__aenter__()
        where = "first ends"
        await first.__aexit__(None, None, None)
        assert room == ["made", "made"]
        where = "second ends"
        await second.__aexit__(None, None, None)

    asyncio.run(runs())
    assert swept == ["first begins", "second ends"]
    assert room == ["made", "made", "put back"]
    assert not killed.exists()


def test_a_run_that_fails_sweeps_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: list[str]) -> None:
    swept: list[bool] = []

    async def sweep() -> None:
        swept.append(True)

    monkeypatch.setattr(sweeping, "sweep", sweep)

    async def fails() -> None:
        async with sweeping.swept(tmp_path):
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(fails())
    assert len(swept) == 2 and room == ["made", "put back"]
