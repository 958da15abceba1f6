"""A disk that is really full (a small tmpfs): reading and deleting go on, starting works, room heals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, POD
from apimachinery.kit import mounts
from tests.controlplane.apiserver.server import serving
from tests.waiting import WHOLE

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SIZE = 64 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "data"
    target.mkdir()
    mounts.mount("whtfull", target, "tmpfs", options=f"size={SIZE}")
    try:
        yield target
    finally:
        mounts.unmount(target)


def fill(disk: Path) -> None:
    """Take all room that is left."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (1 << 20, 4096):
            try:
                while ballast.write(b"x" * size):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


async def page(client: Client, path: str) -> tuple[int, str]:
    try:
        response = await client.request("GET", path)
    except errors.ApiError as error:
        return error.status_code, str(error)
    return 200, str(response)


async def refused(client: Client) -> errors.ApiError:
    """Write until it is refused."""
    body = {"metadata": {"generateName": "c"}, "data": {"x": "y" * 100_000}}
    with pytest.raises(errors.ApiError) as told:
        for _ in range(2 * SIZE // 100_000):
            await client.create(CONFIG_MAP, body, "default")
    return told.value


def config_map(name: str) -> dict:
    return {"metadata": {"name": name}, "data": {"x": "y" * 5000}}


async def run(tmp_path: Path, disk: Path) -> None:
    async with serving(tmp_path) as client:
        for n in range(40):
            await client.create(CONFIG_MAP, config_map(f"c{n}"), "default")
        account = {"metadata": {"name": "default"}}
        await client.request("POST", "/api/v1/namespaces/default/serviceaccounts", body=account)
        containers = [{"name": "c", "image": "i"}]
        pod = {"metadata": {"name": "p", "finalizers": ["example.com/f"]}, "spec": {"containers": containers}}
        await client.create(POD, pod, "default")
        fill(disk)
        error = await refused(client)
        assert (error.status_code, error.reason) == (500, "")
        assert "mvcc: database space exceeded" in error.message and str(disk) in error.message
        fill(disk)

        assert (await client.get(CONFIG_MAP, "c1", "default"))["data"]["x"] == "y" * 5000
        assert (await page(client, "/livez"))[0] == 200
        assert (await page(client, "/readyz"))[0] == 500
        assert "cannot write" in (await page(client, "/readyz/etcd-readiness"))[1]
        with pytest.raises(errors.ApiError, match="space exceeded"):
            await client.create(CONFIG_MAP, config_map("small"), "default")
        for n in range(10):
            await client.delete(CONFIG_MAP, f"c{n}", "default")
        # A removal of several steps: the mark, the finalizer, the end.
        await client.delete(POD, "p", "default")
        await client.patch(POD, "p", {"metadata": {"finalizers": None}}, "default")

    fill(disk)
    async with serving(tmp_path) as client:
        assert (await page(client, "/livez"))[0] == 200
        with pytest.raises(errors.NotFound):
            await client.get(CONFIG_MAP, "c1", "default")
        assert await client.get(CONFIG_MAP, "c11", "default")
        with pytest.raises(errors.ApiError, match="space exceeded"):
            await client.create(CONFIG_MAP, config_map("small"), "default")
        await client.delete(CONFIG_MAP, "c11", "default")

    # Not one block is left, not even in reserve.
    (disk / "state.reserve").unlink()
    fill(disk)
    async with serving(tmp_path) as client:
        assert await client.get(CONFIG_MAP, "c12", "default")
        assert (await page(client, "/readyz"))[0] == 500
        (disk / "ballast").unlink()
        while (await page(client, "/readyz"))[0] != 200:
            await asyncio.sleep(0.1)
        await client.create(CONFIG_MAP, config_map("small"), "default")
    assert (disk / "state.reserve").exists()


def test_a_full_disk_leaves_reading_deleting_and_starting(tmp_path: Path, disk: Path) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(run(tmp_path, disk), WHOLE))
