"""How long a request may take is its client's to say."""

import asyncio
import contextlib
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP
from controlplane.apiserver import deadlines
from controlplane.apiserver.request import Request
from tests.controlplane.apiserver.server import DEADLINE, run

MAPS = CONFIG_MAP.path("default")


def test_reading_ends_with_its_time_and_a_write_goes_on() -> None:
    async def main() -> None:
        go, ended = asyncio.Event(), []

        async def work(verb: str) -> None:
            try:
                await go.wait()
                ended.append(f"{verb} done")
            except asyncio.CancelledError:
                ended.append(f"{verb} cancelled")
                raise

        with pytest.raises(errors.Timeout, match="did not complete within the allotted timeout"):
            await deadlines.within(0.001, work("list"), "list")
        with pytest.raises(errors.Timeout, match="context deadline exceeded"):
            await deadlines.within(0.001, work("update"), "update")
        go.set()
        while len(ended) < 2:
            await asyncio.sleep(0)
        assert ended == ["list cancelled", "update done"]
        assert await deadlines.within(60, asyncio.sleep(0, "answer"), "get") == "answer"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_client_that_hangs_up_ends_what_it_waits_for() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        waiting = asyncio.ensure_future(deadlines.within(60, work(), "get"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await ended.wait()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_client_that_hangs_up_does_not_end_its_write() -> None:
    async def main() -> None:
        go, ended = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            await go.wait()
            ended.set()

        for seconds in (60, None):
            ended.clear()
            waiting = asyncio.ensure_future(deadlines.within(seconds, work(), "delete"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            go.set()
            await ended.wait()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize("verb", ["get", "update"])
def test_what_was_refused_is_not_left_for_the_collector(verb: str) -> None:
    class Body:
        pass

    async def main() -> None:
        left: list[weakref.ref[Body]] = []

        async def work() -> None:
            body = Body()
            left.append(weakref.ref(body))
            await asyncio.sleep(0)
            raise errors.BadRequest("no")

        with contextlib.suppress(errors.BadRequest):
            await deadlines.within(60, work(), verb)
        # What is done is told on the loop's next turns.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert left[0]() is None

    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(main(), DEADLINE))
    finally:
        gc.enable()


def test_a_read_that_is_late_can_be_waited_for_again() -> None:
    """The cancellation that ended it is not left behind in the task that asked."""

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(errors.Timeout):
                await deadlines.within(0.001, asyncio.sleep(60), "get")
            await asyncio.wait_for(asyncio.sleep(0), 60)
            assert await deadlines.within(60, asyncio.sleep(0, "answer"), "list") == "answer"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize("verb", ["get", "list", "create", "update", "patch", "delete", "deletecollection", "post"])
def test_who_names_no_time_has_a_minute(verb: str) -> None:
    def asked(**query: str) -> float | None:
        given = {key: [value] for key, value in query.items()}
        return deadlines.limit(cast(Request, SimpleNamespace(verb=verb, subresource="", param=partial(first, given))))

    assert asked() == asked(timeout="0") == asked(timeout="2m") == asked(timeout="-1s") == 60
    assert asked(timeout="500ms") == 0.5


@pytest.mark.parametrize(
    ("verb", "subresource"),
    [("watch", ""), *(("get", name) for name in ("log", "exec", "attach", "portforward", "proxy")), ("create", "exec")],
)
def test_what_goes_on_has_no_limit(verb: str, subresource: str) -> None:
    asked = SimpleNamespace(verb=verb, subresource=subresource, param=partial(first, {"timeout": ["no duration"]}))
    assert deadlines.limit(cast(Request, asked)) is None


def first(query: dict[str, list[str]], key: str, default: str = "") -> str:
    return query.get(key, [default])[0]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_request_that_names_no_time_is_answered_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """One waits for a revision that never comes, the others' bodies for their ends."""

    async def test(client: Client) -> None:
        async def never() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        path = f"{client.server}{MAPS}/kept" if method != "GET" else f"{client.server}{MAPS}?resourceVersion=999999"
        await client.create(CONFIG_MAP, {"metadata": {"name": "kept"}}, "default")
        # Not before: the first object of a kind takes a fresh server longer on a busy machine, and has to be there.
        monkeypatch.setattr(deadlines, "LONGEST", 0.2)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context(tmp_path))) as http:
            data = None if method == "GET" else never()
            async with http.request(method, path, headers=headers, data=data) as answer:
                assert (answer.status, (await answer.json())["reason"]) == (504, "Timeout")

    run(tmp_path, test)


def context(folder: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    found.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return found


def test_a_timeout_is_a_duration(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for good in ("0", "0s", "-1s", "1h", "1.5s", ""):
            await client.request("GET", MAPS, query={"timeout": good})
        for path in (MAPS, "/version", f"{MAPS}/nobody"):
            with pytest.raises(errors.BadRequest) as refused:
                await client.request("GET", path, query={"timeout": "1"})
            why = 'invalid timeout specified in the request URL - time: missing unit in duration "1"'
            assert refused.value.message == why
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
        with pytest.raises(errors.Timeout) as late:
            await client.request("POST", MAPS, body=body, query={"timeout": "1ns"})
        assert late.value.status()["details"] == {}
        while True:
            try:
                await client.get(CONFIG_MAP, "kept", "default")
                return
            except errors.NotFound:
                await asyncio.sleep(0)

    run(tmp_path, test)
