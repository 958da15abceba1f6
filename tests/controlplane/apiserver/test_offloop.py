"""Large pieces of work take turns, but none keeps the others waiting for long."""

import asyncio
import gc
import threading

import pytest

from apimachinery.kit import memory
from controlplane.apiserver import offloop
from tests.controlplane.apiserver.server import DEADLINE


@pytest.mark.parametrize("waits", [True, False])
def test_a_piece_that_takes_long_no_longer_keeps_the_next_from_beginning(
    monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr(offloop, "_LONG", 60.0 if waits else 0.01)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        inside, release = asyncio.Event(), threading.Event()

        def work() -> None:
            loop.call_soon_threadsafe(inside.set)
            while not release.is_set():
                pass

        long = asyncio.ensure_future(offloop.beside_loop(work))
        await inside.wait()
        later = asyncio.ensure_future(offloop.beside_loop(release.is_set))
        if waits:
            # It has a thread, and would be through.
            await asyncio.sleep(0.02)
            release.set()
        try:
            assert await later is waits
        finally:
            release.set()
            await long

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_the_collector_rests_until_the_last_has_filled() -> None:
    assert gc.isenabled()
    first, second = memory.filling(), memory.filling()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()
