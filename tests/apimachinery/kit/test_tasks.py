"""Cancellation is never lost, whatever the loop does in the same turn."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.tasks import end, is_set_within, within


def test_waiting_tells_whether_it_is_set() -> None:
    async def scenario() -> None:
        event = asyncio.Event()
        assert not await is_set_within(event, 0.01)
        assert not await is_set_within(event, -1)
        asyncio.get_running_loop().call_later(0.01, event.set)
        assert await is_set_within(event, 10)
        assert await is_set_within(event, 0)
        assert await is_set_within(event, None)

    asyncio.run(scenario())


def test_a_loop_that_is_woken_and_cancelled_in_one_turn_ends() -> None:
    async def scenario() -> None:
        event = asyncio.Event()

        async def work() -> None:
            while True:
                event.clear()
                await is_set_within(event, 60)

        task = asyncio.ensure_future(work())
        for _ in range(5):
            await asyncio.sleep(0)
        event.set()
        await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=60)
        assert done

    asyncio.run(scenario())


def test_what_bounded_work_dies_of_while_its_caller_is_cancelled_is_nobodys_to_hear() -> None:
    heard: list[object] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        failing = asyncio.Event()

        async def work() -> None:
            await failing.wait()
            raise ConnectionError

        caller = asyncio.ensure_future(within(work(), 60))
        for _ in range(3):
            await asyncio.sleep(0)
        failing.set()
        caller.cancel()
        await asyncio.wait((caller,))
        assert caller.cancelled()
        del caller
        gc.collect()

    asyncio.run(scenario())
    gc.collect()
    assert not heard


def test_bounded_work_answers_is_ended_in_time_and_fails_as_it_would_alone() -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def slow() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def answer(value: int) -> int:
            await asyncio.sleep(0)
            return 6 // value

        assert await within(answer(2), 60) == 3
        with pytest.raises(ZeroDivisionError):
            await within(answer(0), 60)
        with pytest.raises(asyncio.TimeoutError):
            await within(slow(), 0.01)
        assert ended.is_set()

    asyncio.run(scenario())


def test_work_that_ends_in_the_turn_in_which_it_is_cancelled_is_cancelled() -> None:
    async def scenario() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        went_on = []

        async def work() -> None:
            async def asked() -> None:
                await answer

            await within(asked(), 60)
            went_on.append(True)

        task = asyncio.ensure_future(work())
        for _ in range(5):
            await asyncio.sleep(0)
        answer.set_result(None)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=60)
        assert task.cancelled() and not went_on

    asyncio.run(scenario())


def test_a_task_that_forgets_one_cancellation_is_told_again() -> None:
    async def scenario() -> None:
        forgotten = []

        async def forgetful() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                forgotten.append(True)
            await asyncio.Event().wait()

        task = asyncio.ensure_future(forgetful())
        await asyncio.sleep(0)
        assert not await end([task], 10)
        assert forgotten and task.cancelled()

    asyncio.run(scenario())


def test_one_that_will_not_end_is_named_and_left() -> None:
    async def scenario() -> None:
        free = asyncio.Event()

        async def deaf() -> None:
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue

        task = asyncio.ensure_future(deaf())
        await asyncio.sleep(0)
        assert await end([task], 0.1) == {task}
        free.set()
        await task

    asyncio.run(scenario())


def test_what_failed_while_ending_is_not_raised() -> None:
    async def scenario() -> None:
        async def fails() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise RuntimeError("while ending")

        lifecycle = Lifecycle()
        lifecycle.spawn("fails", fails())
        await asyncio.sleep(0)
        lifecycle.request_stop()
        began = time.monotonic()
        try:
            await lifecycle.wait()
        except RuntimeError as error:
            assert str(error) == "while ending"
        assert time.monotonic() - began < 5

    asyncio.run(scenario())
