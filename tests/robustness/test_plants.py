"""Faults of the server that the robustness program has to find, in short: the same clients against a server in this
process, the same plants. Each is looked for without the plant as well, and then nothing may be found.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apimachinery.kit import tasks
from benchmarks import api
from controlplane.apiserver import compaction
from controlplane.store import Corrupt, build, journal, sqlite
from controlplane.store.checksum import Row
from controlplane.store.model import Place
from tests.controlplane.apiserver.server import serving
from tests.controlplane.store.following import Plain
from tests.robustness import clients as program
from tests.robustness.checker import violations
from tests.robustness.clients import Clients
from tests.robustness.server import PLANTS
from tests.waiting import until

_AWAY = 0.3


@asynccontextmanager
async def busy(folder: Path) -> AsyncIterator[Clients]:
    """Writers, and a watcher that comes and goes, at a server whose state lies in a folder."""
    async with serving(folder) as server:
        clients = Clients([server.server], api.client_context(folder), 4, random.Random(7))
        work = [asyncio.ensure_future(clients.writer(number)) for number in range(2)]
        work += [asyncio.ensure_future(clients.watcher(number, away=_AWAY)) for number in range(3)]
        try:
            await answers(clients, 50)
            yield clients
        finally:
            clients.stop.set()
            await tasks.end(work, 10.0)


async def answers(clients: Clients, count: int) -> None:
    seen = len(clients.answered)
    await until(lambda: len(clients.answered) >= seen + count, 60, "clients are answered")


@pytest.mark.parametrize("planted", [True, False])
def test_history_that_goes_by_a_clock_that_people_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    turned, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + turned[0])
    monkeypatch.setattr(compaction, "time", time)
    monkeypatch.setattr(compaction, "_EVERY", 0.05)
    monkeypatch.setattr(compaction, "_LOOK_EVERY", 0.05)
    monkeypatch.setattr(program, "_STAY", 0.1)
    if planted:
        PLANTS["wall-clock"]()

    async def main() -> Clients:
        async with busy(tmp_path) as clients:

            def again() -> bool:
                """Once more: of all that was until then, whoever is away just then cannot go on."""
                turned[0] += 3600.0
                return any(watch.expired for watch in clients.history.watches)

            if planted:
                await until(again, 60, "somebody has to list anew", pause=0.2)
            else:
                for _ in range(6):
                    again()
                    await answers(clients, 10)
            return clients

    found = violations(asyncio.run(main()).history)
    assert any("could not go on" in fault for fault in found) is planted, found


@pytest.mark.parametrize("planted", [True, False])
def test_what_a_full_disk_did_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    """A server that was killed afterwards starts, or finds out."""
    full, real = [False], journal.append

    def append(link: sqlite3.Connection, new: Sequence[Row]) -> None:
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        real(link, new)

    monkeypatch.setattr(journal, "append", append)
    monkeypatch.setattr(sqlite, "_LOOK_AGAIN", 0.05)
    if planted:
        PLANTS["full-is-written"]()

    async def main() -> None:
        async with busy(tmp_path) as clients:
            full[0] = True
            await answers(clients, 10)
            full[0] = False
            await answers(clients, 50)
            shutil.copytree(tmp_path / "data", tmp_path / "killed")
        store = build("sqlite", Place(tmp_path / "killed"), Plain())
        if planted:
            with pytest.raises(Corrupt, match="revision .* is lost"):
                await store.open()
            return
        await store.open()
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 120))
