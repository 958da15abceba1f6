"""The informer's patience with a server that ends its watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from apimachinery import errors, informer
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import CONFIG_MAP
from apimachinery.objects import Obj
from tests.waiting import until


class Server:
    """Each watch tells of `events` changes and ends."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.version = 1
        self.watches = 0

    async def list(self, *_: Any, **__: Any) -> Obj:
        return {"metadata": {"resourceVersion": "1"}, "items": []}

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Obj]]:
        self.watches += 1
        for _n in range(self.events):
            self.version += 1
            yield "ADDED", {"metadata": {"name": f"o{self.version}", "resourceVersion": str(self.version)}}
        await asyncio.sleep(0)


def watches(events: int) -> int:
    """How many were begun in a thousand turns of the loop."""

    async def scenario() -> int:
        server = Server(events)
        running = asyncio.ensure_future(Informer(cast(Client, server), CONFIG_MAP).run())
        for _ in range(1000):
            await asyncio.sleep(0)
        running.cancel()
        return server.watches

    return asyncio.run(scenario())


def test_watches_that_end_at_once_are_begun_with_pauses() -> None:
    assert watches(0) < 50


def test_a_watch_that_told_something_is_followed_by_the_next_at_once() -> None:
    assert watches(1) > 200


def test_what_is_not_kept_is_told_and_then_forgotten() -> None:
    def full(version: str, data: str) -> Obj:
        return {"metadata": {"name": "a", "resourceVersion": version}, "data": data}

    class Two:
        async def list(self, *_: Any, transform: Any, **__: Any) -> Obj:
            return {"metadata": {"resourceVersion": "1"}, "items": [transform(full("1", "first"))]}

        async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Obj]]:
            yield "MODIFIED", full("2", "second")
            yield "DELETED", full("3", "last")
            await asyncio.Event().wait()

    told: list[tuple[Any, Any]] = []
    kept: list[Obj] = []

    async def scenario() -> None:
        informer = Informer(
            cast(Client, Two()),
            CONFIG_MAP,
            transform=lambda obj: {**obj, "data": obj["data"].upper()},
            keep=lambda obj: {"metadata": obj["metadata"]},
        )

        def handler(old: Obj | None, new: Obj | None) -> None:
            told.append((old and old.get("data"), new and new.get("data")))
            asyncio.get_running_loop().call_soon(lambda: kept.extend(informer.items()))

        informer.add_handler(handler)
        running = asyncio.ensure_future(informer.run())
        await until(lambda: len(told) == 3, what="all three are told")
        running.cancel()

    asyncio.run(scenario())
    assert told == [(None, "FIRST"), (None, "SECOND"), ("LAST", None)]
    assert all("data" not in obj for obj in kept)


def test_what_is_wrong_is_said_once_and_anew_when_it_changes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[errors.ApiError] = [
        *[errors.Forbidden("no right to list")] * 3,
        *[errors.InternalError("broken")] * 3,
        errors.Forbidden("no right to list"),
    ]
    monkeypatch.setattr(informer, "RETRY_MAX", 0.0)

    class Refusing(Server):
        async def list(self, *_: Any, **__: Any) -> Obj:
            if answers:
                raise answers.pop(0)
            return await super().list()

    def scenario(**given: Any) -> None:
        async def body() -> None:
            reader = Informer(cast(Client, Refusing(1)), CONFIG_MAP, **given)
            reader._retry = 0.0
            running = asyncio.ensure_future(reader.run())
            await asyncio.wait_for(reader.wait_synced(), 30)
            running.cancel()

        asyncio.run(body())

    with caplog.at_level("INFO"):
        scenario()
    said = [(one.levelname, one.getMessage().partition(": ")[2].partition(";")[0]) for one in caplog.records]
    assert [one for one in said if "well" in one[1] or "no right" in one[1] or "broken" in one[1]] == [
        ("WARNING", "no right to list"),
        ("WARNING", "broken"),
        ("WARNING", "no right to list"),
        ("INFO", "well again"),
    ]
    caplog.clear()
    told: list[errors.Forbidden] = []
    answers += [errors.Forbidden("no right to list")] * 3
    scenario(on_refused=told.append)
    assert [str(one) for one in told] == ["no right to list"]
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


def test_a_watch_that_is_let_in_again_is_well_without_a_new_list(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(informer, "RETRY_FIRST", 0.0)
    refused: list[bool] = []

    turns = iter([True, False, False, True, False])

    class Closing(Server):
        async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Obj]]:
            if not next(turns, False):
                raise errors.Forbidden("no right to watch")
            async for one in super().watch():
                yield one

    async def scenario() -> None:
        told: list[errors.Forbidden] = []
        reader = Informer(cast(Client, Closing(1)), CONFIG_MAP, on_refused=told.append)
        reader.add_handler(lambda _old, _new: refused.append(reader.is_refused))
        running = asyncio.ensure_future(reader.run())
        await until(lambda: len(told) == 2, what="it is refused twice, and let in between")
        assert reader.is_refused
        running.cancel()

    with caplog.at_level("INFO"):
        asyncio.run(scenario())
    assert [one.getMessage() for one in caplog.records].count("configmaps: well again") == 1
    assert refused and not any(refused)
