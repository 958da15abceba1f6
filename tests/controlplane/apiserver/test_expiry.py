"""Events go by themselves, an hour after they were last written."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, EVENT, EVENT_V1
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time
from controlplane.apiserver.cache.cache import Cache, key_of
from controlplane.apiserver.expiry import Expiry, seconds_left
from controlplane.store import Change, Full, Mismatch
from tests.controlplane.apiserver.server import run

NOON = parse_time("2026-01-01T12:00:00Z")


def event(name: str, **more: Any) -> Obj:
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": about, **more}


@pytest.mark.parametrize(
    ("made", "changed", "left"),
    [
        ("2026-01-01T12:00:00Z", (), 3600),
        ("2026-01-01T11:30:00Z", (), 1800),
        ("2026-01-01T10:00:00Z", (), 0),
        ("2026-01-01T10:00:00Z", ("2026-01-01T11:59:00Z", "2026-01-01T11:00:00Z"), 3540),
        # A clock that was set back keeps nothing for longer than the time itself.
        ("2026-01-02T12:00:00Z", (), 3600),
        (None, (), 3600),
    ],
)
def test_what_is_left_counts_from_the_last_write(made: str | None, changed: tuple[str, ...], left: int) -> None:
    metadata = {"creationTimestamp": made, "managedFields": [{"time": at} for at in changed]}
    assert seconds_left({"metadata": metadata}, 3600, NOON) == left


class Held:
    """A registry of Events alone, whose objects are written by hand and may refuse to go."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.cache.add(EVENT)
        self.gone: list[str] = []
        self.refusal: Exception | None = None

    def collection(self, kind: Any) -> Any:
        return self.cache.collection(kind)

    def write(self, name: str, body: bytes | None = b'{"metadata":{"name":"x"}}') -> None:
        at = self.cache.revision + 1
        self.cache.deliver([Change(at, key_of(EVENT, "default", name), body, at)])

    async def expire(self, kind: Any, entry: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.gone.append(entry.name)
        self.write(entry.name, None)


def held(test: Callable[[Held, Expiry, list[float]], Any]) -> None:
    registry, clock = Held(), [0.0]
    registry.write("before")
    expiry = Expiry(registry, EVENT, 60, lambda: clock[0])  # type: ignore[arg-type]
    asyncio.run(test(registry, expiry, clock))


def test_each_goes_in_its_time_and_a_write_begins_it_anew() -> None:
    async def test(registry: Held, expiry: Expiry, clock: list[float]) -> None:
        await expiry.begin()
        for at, name in ((10.0, "a"), (20.0, "b"), (30.0, "c"), (40.0, "a")):
            clock[0] = at
            registry.write(name)
        registry.write("c", None)
        for at, gone in ((59.0, []), (60.0, ["before"]), (79.9, ["before"]), (99.0, ["before", "b"])):
            clock[0] = at
            await expiry.sweep()
            assert registry.gone == gone
        clock[0] = 100.0
        await expiry.sweep()
        assert registry.gone == ["before", "b", "a"] and not len(registry.collection(EVENT))

    held(test)


def test_many_go_at_once() -> None:
    async def test(registry: Held, expiry: Expiry, clock: list[float]) -> None:
        for number in range(1000):
            registry.write(f"e{number}")
        await expiry.begin()
        clock[0] = 60.0
        await expiry.sweep()
        assert len(registry.gone) == 1001

    held(test)


def test_what_cannot_go_is_tried_again_and_what_has_changed_stays() -> None:
    async def test(registry: Held, expiry: Expiry, clock: list[float]) -> None:
        await expiry.begin()
        clock[0], registry.refusal = 60.0, Full("no room")
        await expiry.sweep()
        assert registry.gone == []
        clock[0], registry.refusal = 100.0, None
        await expiry.sweep()
        assert registry.gone == ["before"]
        registry.write("raced")
        clock[0], registry.refusal = 200.0, Mismatch("raced", 9)
        await expiry.sweep()
        assert registry.gone == ["before"]

    held(test)


def test_what_is_written_while_it_cannot_go_keeps_its_new_time() -> None:
    async def test(registry: Held, expiry: Expiry, clock: list[float]) -> None:
        await expiry.begin()
        clock[0] = 60.0

        async def expire(kind: Any, entry: Any) -> None:
            registry.write(entry.name)
            raise Full("no room")

        registry.expire, plain = expire, registry.expire  # type: ignore[method-assign]
        await expiry.sweep()
        registry.expire = plain  # type: ignore[method-assign]
        clock[0] = 119.0
        await expiry.sweep()
        assert registry.gone == []
        clock[0] = 120.0
        await expiry.sweep()
        assert registry.gone == ["before"]

    held(test)


def test_events_of_a_server_end_with_a_watch_event(tmp_path: Path) -> None:
    """Also those that an earlier process of the server was given; other kinds stay."""

    async def write(client: Client) -> None:
        await client.create(EVENT, event("old"), "default")

    async def expire(client: Client) -> None:
        await client.create(EVENT, event("new"), "default")
        await client.create(CONFIG_MAP, {"metadata": {"name": "stays"}}, "default")
        gone: set[str] = set()
        async for kind, obj in client.watch(EVENT_V1, "default", resource_version="1"):
            if kind == "DELETED":
                gone.add(obj["metadata"]["name"])
            if gone >= {"old", "new"}:
                break
        assert await client.get(CONFIG_MAP, "stays", "default")
        assert (await client.list(EVENT, "default"))["items"] == []

    run(tmp_path, write)
    run(tmp_path, expire, event_ttl=1)
