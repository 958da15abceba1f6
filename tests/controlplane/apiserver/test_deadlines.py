"""How long a request may take is its client's to say."""

import asyncio
from pathlib import Path

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP
from controlplane.apiserver import deadlines
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
