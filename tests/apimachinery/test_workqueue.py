"""The work queue: one key is never worked on twice at a time, and nothing added is lost."""

import asyncio

import pytest

from apimachinery.kit import metrics
from apimachinery.workqueue import ShutDown, WorkQueue
from tests.waiting import SECONDS


def test_a_key_added_while_in_work_comes_back_after_done() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        assert len(queue) == 0
        queue.done("a")
        assert await asyncio.wait_for(queue.get(), SECONDS) == "a"
        queue.done("a")
        queue.shut_down()
        with pytest.raises(ShutDown):
            await queue.get()

    asyncio.run(scenario())


def test_a_failed_key_is_retried_and_the_others_are_not_held_up() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        tries: dict[str, int] = {}

        async def work(key: str) -> None:
            tries[key] = tries.get(key, 0) + 1
            if key == "bad" and tries[key] < 4:
                raise RuntimeError("not yet")
            if sum(tries.values()) == 6:
                queue.shut_down()

        for key in ("bad", "good", "fine"):
            queue.add(key)
        await asyncio.wait_for(queue.run_workers(3, work), SECONDS)
        assert tries == {"bad": 4, "good": 1, "fine": 1}

    asyncio.run(scenario())


def test_of_several_delays_the_earliest_counts() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("a", 60)
        queue.add_after("a", 0.01)
        queue.add_after("a", 30)
        assert await asyncio.wait_for(queue.get(), SECONDS) == "a"

    asyncio.run(scenario())


def test_back_off_doubles_until_forgotten() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(backoff_max=0.03)
        pauses = [queue.add_rate_limited("a") for _ in range(5)]
        assert pauses == pytest.approx([0.005, 0.01, 0.02, 0.03, 0.03])
        queue.forget("a")
        assert queue.add_rate_limited("a") == pytest.approx(0.005)
        queue.shut_down()

    asyncio.run(scenario())


def test_how_long_a_key_waited_is_told() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue("wht waits")

        async def work(key: str) -> None:
            queue.shut_down()

        queue.add("a")
        await queue.run_workers(1, work)

    asyncio.run(scenario())
    told = metrics.exposition()[0].decode()
    for what in ("queue", "work"):
        assert f'workqueue_{what}_duration_seconds_count{{name="wht waits"}} 1.0' in told


async def _comes_while_it_rests(queue: WorkQueue[str], seconds: float) -> None:
    """A key is asked for again in the middle of its work, after which it rests."""
    queue.add("a")
    assert await queue.get() == "a"
    queue.rest("a", seconds)
    queue.add("a")
    queue.done("a")


def test_a_key_waits_from_when_it_was_asked_for() -> None:
    """As upstream counts: also while it is worked on, and while it rests."""

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue("wht rests")
        await _comes_while_it_rests(queue, 0.05)
        assert await asyncio.wait_for(queue.get(), SECONDS) == "a"

    asyncio.run(scenario())
    told = metrics.exposition()[0].decode()
    assert float(told.partition('workqueue_queue_duration_seconds_sum{name="wht rests"} ')[2].split()[0]) > 0.049


def test_what_comes_while_a_key_rests_is_worked_on_together() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        await _comes_while_it_rests(queue, 3600.0)
        queue.add("a")
        queue.add("b")
        # Others go on; the one that rests waits for its time, which the end cuts short.
        assert await queue.get() == "b"
        queue.done("b")
        assert len(queue) == 0
        queue.shut_down()
        assert await queue.get() == "a"
        queue.done("a")
        with pytest.raises(ShutDown):
            await queue.get()

    asyncio.run(scenario())


def test_a_rest_ends() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        await _comes_while_it_rests(queue, 0.001)
        assert await asyncio.wait_for(queue.get(), SECONDS) == "a"

    asyncio.run(scenario())
