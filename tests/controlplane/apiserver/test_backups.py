"""Copies of a server that serves: on schedule, and for those who may have them."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP
from controlplane.apiserver.backups import Backups, Schedule
from controlplane.apiserver.request import Request
from controlplane.store import Snapshot, Store, backup
from tests.controlplane.apiserver.server import anonymous, run


def test_a_copy_of_everything_is_for_who_may_have_it_and_is_put_back(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    copy = tmp_path / "copy.db"

    async def take(client: Client) -> None:
        await client.create(CONFIG_MAP, {"metadata": {"name": "kept"}, "data": {"a": "b"}}, "default")
        copy.write_bytes(b"".join([piece async for piece in client.stream("/snapshot")]))
        nobody = anonymous(first, client)
        with pytest.raises(errors.Forbidden):
            await nobody.request("GET", "/snapshot")
        await nobody.close()
        with pytest.raises(errors.ApiError) as refused:
            await client.request("POST", "/snapshot")
        assert refused.value.status_code == 405
        assert not list((first / "data" / "backups").iterdir()), "what was sent is gone"

    async def there(client: Client) -> None:
        assert (await client.get(CONFIG_MAP, "kept", "default"))["data"] == {"a": "b"}

    run(first, take)
    backup.restore(copy, second / "data" / "state.db")
    run(second, there)


def test_copies_on_schedule_are_whole_and_no_more_than_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for left in (".sending-x", "20260101T120000Z-r1.db.partial", "20260101T120000Z-r1.db.partial-wal", "film.partial"):
        (folder / left).touch()

    async def test(client: Client) -> None:
        seen: set[str] = set()
        while len(seen) < 3:
            seen |= {path.name for path in folder.glob("*.db")}
            await asyncio.sleep(0.05)

    run(tmp_path, test, backup_seconds=1, backup_count=2, backup_dir=folder)
    kept = sorted(path for path in folder.iterdir() if not path.name.endswith((".partial", "-wal", "-shm")))
    assert 1 <= len(kept) <= 3 and not (folder / "20260101T120000Z-r1.db.partial").exists()
    assert (folder / "film.partial").exists(), "what somebody else keeps there is theirs"
    for path in kept:
        assert backup.read(path)[1]


def test_nothing_stays_of_a_copy_whose_client_goes_when_it_is_made(tmp_path: Path) -> None:
    async def snapshot(path: Path) -> Snapshot:
        path.touch()
        raise asyncio.CancelledError

    async def main() -> None:
        store = cast(Store, SimpleNamespace(trouble="", snapshot=snapshot))
        handler = Backups(store, Schedule(tmp_path, 0, 1, 0)).handler
        with pytest.raises(asyncio.CancelledError):
            await handler(cast(Request, SimpleNamespace(method="GET")))

    asyncio.run(main())
    assert not list(tmp_path.iterdir())
