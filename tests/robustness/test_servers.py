"""Lives of API servers that are forked are known to have ended, and how, as those of programs are."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from lab.forks import Forks
from lab.process import Process
from tests.etcds import Home
from tests.robustness import servers
from tests.robustness.servers import Fork, Program, Server
from tests.waiting import until

MODULE = "tests.lab.waits"


@pytest.mark.parametrize("forked", [True, False])
def test_a_life_tells_how_it_ended(tmp_path: Path, forked: bool) -> None:
    log = tmp_path / "a.log"

    async def begun(forks: Forks) -> Fork | Program:
        argv = [sys.executable, "-m", MODULE]
        if not forked:
            return Program(argv, log, dict(os.environ))
        return Fork(forks, await forks.start(Process("a", tuple(argv), str(log))))

    async def main() -> None:
        forks = Forks("whtlives", tmp_path / "forks.log")
        try:
            life = await begun(forks)
            await until(lambda: log.exists() and "waits" in log.read_text())
            assert await life.status() is None
            os.kill(life.pid, signal.SIGKILL)

            async def ended() -> bool:
                # Also where two look at the same time.
                return {*await asyncio.gather(life.status(), life.status())} == {-signal.SIGKILL}

            await until(ended)
            assert await life.status() == -signal.SIGKILL
        finally:
            forks.close()

    asyncio.run(main())


def test_who_kills_a_server_waits_for_the_life_that_was_and_not_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_END_SECONDS", 20.0)

    async def main() -> None:
        server = Server(tmp_path / "a.yaml", "https://127.0.0.1:1", Home(), None, "", None)
        server._argv = ["sleep", "600"]
        await server.start()

        async def again() -> None:
            while True:
                await server.start()
                await asyncio.sleep(0)

        looking = asyncio.ensure_future(again())
        try:
            await server.signal(signal.SIGKILL)
            assert not await server.ended()
        finally:
            looking.cancel()
            await server.end()
        assert await server.ended()

    asyncio.run(main())
