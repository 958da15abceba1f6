"""Clients that read slowly or not at all: what they have missed is shared, made as they take it, and bounded."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from apimachinery import kinds
from controlplane.apiserver import measures, reading
from controlplane.apiserver.cache import watcher as watchers
from controlplane.apiserver.cache.collection import Collection
from controlplane.apiserver.cache.entry import encode
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.cache.watcher import Watcher
from controlplane.apiserver.http import exchange
from controlplane.apiserver.reading import Reading, many
from controlplane.apiserver.request import Shared
from tests.controlplane.apiserver.server import DEADLINE, serving


def filled(objects: int, size: int = 3000) -> Collection:
    collection = Collection(kinds.CONFIG_MAP)
    for number in range(objects):
        name = f"c{number:05d}"
        body = encode({"metadata": {"name": name, "namespace": "ns"}, "data": {"x": "y" * size}})
        collection.apply("ns", name, number + 2, body)
    return collection


def begun(collection: Collection) -> Watcher:
    watcher = Watcher(kinds.CONFIG_MAP, Selection("ns"), None)
    watcher.begin(Event(collection.kind, e.revision, None, e) for e in collection.select(watcher.selection))
    return watcher


def test_a_bookmark_comes_after_all_that_it_vouches_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the client is still at what it missed, or something happened while it took the last piece."""
    monkeypatch.setattr(reading, "_BOOKMARK_EVERY", 0.0)
    collection = filled(100)
    watcher, cache = begun(collection), SimpleNamespace(revision=101)
    collection.attach(watcher)
    server: Any = SimpleNamespace(cache=cache)
    options: Any = SimpleNamespace(timeout=60, bookmarks=True)
    stream = Reading(server, lambda _: None)._stream(collection, watcher, options, None)

    async def read() -> list[tuple[str, int]]:
        told: list[tuple[str, int]] = []
        async for piece in stream:
            found = [orjson.loads(line) for line in piece.splitlines()]
            told += [(each["type"], int(each["object"]["metadata"]["resourceVersion"])) for each in found]
            if told and cache.revision < 110:
                cache.revision += 1
                body = encode({"metadata": {"name": f"late{cache.revision}", "namespace": "ns"}})
                collection.apply("ns", f"late{cache.revision}", cache.revision, body)
            if ("BOOKMARK", 110) in told:
                break
        return told

    told = asyncio.run(asyncio.wait_for(read(), 30))
    assert [revision for type, revision in told if type != "BOOKMARK"] == list(range(2, 111))
    assert [revision for _, revision in told] == sorted(revision for _, revision in told)


def test_what_a_watch_has_missed_is_made_piece_by_piece_and_in_order() -> None:
    collection = filled(500)
    watcher = begun(collection)
    assert not watcher._frames, "nothing is made that the client has not taken"
    collection.attach(watcher)
    body = encode({"metadata": {"name": "late", "namespace": "ns"}})
    collection.apply("ns", "late", 9000, body)
    collection.apply("ns", "c00499", 9001, body)

    async def read() -> list[bytes | None]:
        return [await watcher.next(0) for _ in range(600 * 3000 // watchers._PIECE)]

    pieces = [piece for piece in asyncio.run(read()) if piece]
    assert max(map(len, pieces)) < watchers._PIECE + 4000
    frames = [orjson.loads(line) for line in b"".join(pieces).splitlines()]
    seen = [
        (f["type"], f["object"]["metadata"].get("name"), f["object"]["metadata"]["resourceVersion"]) for f in frames
    ]
    assert [s[1] for s in seen[:500]] == [f"c{n:05d}" for n in range(500)]
    assert seen[499][2] == "501", "what it was when the watch began, not what became of it"
    assert [s[0] for s in seen[500:]] == ["ADDED", "MODIFIED"] and len(seen) == 502
    assert not watcher.catching_up


def test_a_watcher_that_lags_many_bytes_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "QUEUE_BYTES", 50_000)
    collection = filled(10)
    watcher = begun(collection)
    collection.attach(watcher)
    body = encode({"metadata": {"name": "big", "namespace": "ns"}, "data": {"x": "y" * 20_000}})
    for revision in range(100, 104):
        collection.apply("ns", "big", revision, body)
    assert watcher.overrun and not watcher._frames and not watcher.catching_up


@pytest.mark.parametrize("objects", [0, 1, 31, 32, 33, 64, 100])
def test_a_list_is_the_same_in_pieces_and_as_long_as_it_says(objects: int) -> None:
    entries = filled(objects, 10).scan("ns")
    response = asyncio.run(many(kinds.CONFIG_MAP, entries, {"resourceVersion": "7"}, None))
    if isinstance(response.body, Shared):
        body = b"".join(response.body.pieces())
        assert len(body) == response.body.size
    else:
        assert isinstance(response.body, bytes)
        body = response.body
    told = orjson.loads(body)
    assert [item["metadata"]["name"] for item in told["items"]] == [f"c{n:05d}" for n in range(objects)]
    assert told["metadata"] == {"resourceVersion": "7"}


def unread(port: int, tls: ssl.SSLContext, path: str) -> ssl.SSLSocket:
    """A connection with next to no room of its own, which asks and never reads."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(20)
    plain.connect(("127.0.0.1", port))
    link = tls.wrap_socket(plain, server_hostname="127.0.0.1")
    link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return link


def test_a_watch_that_nobody_reads_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_PATIENCE", 0.3)
    gone = measures.WATCHERS.labels("configmaps")._value

    async def main() -> None:
        async with serving(tmp_path) as client:
            for number in range(12):
                body = {"metadata": {"name": f"c{number}"}, "data": {"x": "y" * 1_000_000}}
                await client.create(kinds.CONFIG_MAP, body, "default")
            tls = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
            tls.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")
            port = int(client._server.rpartition(":")[2])
            path = f"{kinds.CONFIG_MAP.path('default')}?watch=1"
            before = gone.get()
            link = await asyncio.to_thread(unread, port, tls, path)
            while gone.get() == before:
                await asyncio.sleep(0.01)
            while gone.get() > before:
                await asyncio.sleep(0.05)
            link.close()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
