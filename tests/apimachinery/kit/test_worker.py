"""Calls in a thread of their own: in order, with what they give and raise, until they are late or nobody waits."""

from __future__ import annotations

import asyncio
import atexit
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit.worker import Worker
from tests.waiting import eventually


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("tried")
    try:
        yield made
    finally:
        made.close()


def test_calls_of_a_loop_and_of_threads_come_in_order_to_one_thread(worker: Worker) -> None:
    found: list[int] = []

    def note(number: int) -> str:
        found.append(number)
        return threading.current_thread().name

    async def main() -> None:
        assert set(await asyncio.gather(*(worker.call(5, note, n) for n in range(20)))) == {"tried"}

    asyncio.run(main())
    assert worker.wait(5, note, 20) == "tried"
    assert found == list(range(21))


def test_what_a_call_raises_is_raised_where_it_was_asked_for(worker: Worker) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(worker.call(5, int, "x"))
    with pytest.raises(ValueError, match="invalid literal"):
        worker.wait(5, int, "x")
    assert asyncio.run(worker.call(5, int, "7")) == 7, "and the next call is done"


def test_who_is_late_is_told_and_what_nobody_waits_for_is_not_begun(worker: Worker) -> None:
    held = threading.Event()
    begun: list[str] = []

    async def main() -> None:
        slow = asyncio.ensure_future(worker.call(30, held.wait, 30))
        await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await worker.call(0.05, begun.append, "late")
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            await asyncio.to_thread(worker.wait, 0.05, begun.append, "late, too")
        gone = asyncio.ensure_future(worker.call(30, begun.append, "cancelled"))
        await asyncio.sleep(0)
        gone.cancel()
        last = asyncio.ensure_future(worker.call(30, begun.append, "last"))
        await asyncio.sleep(0.05)
        held.set()
        assert await slow
        await last

    asyncio.run(main())
    assert begun == ["last"]


def test_it_is_idle_while_nothing_is_under_way_or_waits(worker: Worker) -> None:
    held = threading.Event()

    async def main() -> None:
        assert worker.idle
        calls = [asyncio.ensure_future(worker.call(30, held.wait, 30)) for _ in range(2)]
        await asyncio.sleep(0)
        assert not worker.idle
        calls[1].cancel()
        held.set()
        assert await calls[0]
        await asyncio.to_thread(eventually, lambda: worker.idle, what="both are done with")

    asyncio.run(main())


def test_what_was_asked_for_before_the_end_is_done_and_nothing_after(worker: Worker) -> None:
    found: list[str] = []
    ended = threading.Event()

    def end() -> None:
        found.append("last")
        ended.set()

    async def main() -> None:
        asked = asyncio.ensure_future(worker.call(5, found.append, "asked"))
        await asyncio.sleep(0)
        worker.close(end)
        worker.close()
        with pytest.raises(RuntimeError, match="tried has been ended"):
            await worker.call(5, found.append, "too late")
        await asked

    asyncio.run(main())
    assert ended.wait(5)
    assert found == ["asked", "last"]


class Rules(str):
    """A text that can be seen to go."""


def test_what_a_call_was_given_goes_with_it(worker: Worker) -> None:
    one, two = Rules("a"), Rules("b")
    given = [weakref.ref(one), weakref.ref(two)]
    worker.wait(5, len, one)
    asyncio.run(worker.call(5, len, two))
    del one, two
    eventually(lambda: not any(each() for each in given), what="the texts are forgotten")


def test_a_thread_that_could_not_begin_does_with_the_next_call(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(worker._thread, "start", none)
        with pytest.raises(RuntimeError, match="new thread"):
            worker.wait(5, int, "7")
    assert worker.wait(5, int, "7") == 7


def test_who_comes_and_goes_leaves_nothing_to_do_at_the_end() -> None:
    before = atexit._ncallbacks()
    for _ in range(5):
        made = Worker("short")
        assert made.wait(5, int, "7") == 7
        made.close()
    assert atexit._ncallbacks() == before
    eventually(lambda: not any(thread.name == "short" for thread in threading.enumerate()))


_FORGETS = """
import asyncio, time
from apimachinery.kit.worker import Worker

worker = Worker("forgotten")

def slow():
    time.sleep(0.5)
    print("done", flush=True)

async def main():
    asyncio.ensure_future(worker.call(60, slow))
    await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_a_process_that_never_closes_it_ends_when_the_call_under_way_does() -> None:
    root = Path(__file__).resolve().parents[3]
    argv = [sys.executable, "-c", _FORGETS]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
