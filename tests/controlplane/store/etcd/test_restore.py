"""Copies put back into etcd, from either store to either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from controlplane.store import Change, Delete, Place, Put, StoreError, backup
from controlplane.store.etcd.calls import Calls
from controlplane.store.etcd.restore import grouped, restore, set_aside
from controlplane.store.sqlite import SqliteStore
from tests.controlplane.store.etcd.test_store import current, etcd, etcdctl, opened, place, run
from tests.controlplane.store.following import Plain

__all__ = ["etcd", "place"]


def test_a_copy_goes_from_a_file_to_etcd_and_back(place: Place, tmp_path: Path) -> None:
    async def main() -> None:
        one = SqliteStore(tmp_path / "one" / "state.db")
        await one.open()
        await one.txn([Put(f"k/ns/{n}", b"%d" % n * 700, 0) for n in range(350)])
        await one.txn([Put("k/ns/5", b"again")])
        await one.txn([Delete("k/ns/6")])
        wanted = current(await one.history())
        copy = await one.snapshot(tmp_path / "copy.db")
        await one.close()
        async with opened(place) as (store, _):
            await store.txn([Put("k/ns/old", b"before", 0)])
        aside = await set_aside(place, Plain(), tmp_path / "aside.db")
        assert aside is not None and current(backup.read(aside.path)[1]) == {"k/ns/old": b"before"}
        await restore(place, Plain(), backup.read(copy.path)[1], {})
        async with opened(place) as (store, told):
            assert current(told.changes) == wanted
            back = await store.snapshot(tmp_path / "back.db")
        backup.restore(back.path, tmp_path / "two" / "state.db")
        two = SqliteStore(tmp_path / "two" / "state.db")
        await two.open()
        assert current(await two.history()) == wanted
        await two.close()

    run(main)


def test_a_restore_that_was_cut_off_keeps_servers_away_until_it_is_done(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [Change(n + 2, f"k/ns/{n}", b"v", n + 2) for n in range(250)]

    class Cut(Exception):
        pass

    real, count = Calls.ask, [0]

    async def counted(self: Calls, path: str, request: object, answer: type) -> object:
        if path == "KV/Txn":
            count[0] += 1
            if count[0] == 5:
                raise Cut
        return await real(self, path, request, answer)  # type: ignore[arg-type]

    async def main() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Calls, "ask", counted)
            with pytest.raises(Cut):
                await restore(place, Plain(), changes, {})
        with pytest.raises(StoreError, match="run it again"):
            async with opened(place):
                pass
        assert await set_aside(place, Plain(), tmp_path / "half.db") is None, "half a copy is not worth keeping"
        await restore(place, Plain(), changes, {})
        async with opened(place) as (_, told):
            assert len(current(told.changes)) == 250

    run(main)


def test_what_expires_does_so_after_a_restore_too(place: Place) -> None:
    async def main() -> None:
        changes = [Change(2, "events/ns/a", b"v", 2), Change(3, "pods/ns/a", b"v", 3)]
        await restore(place, Plain(), changes, {"events": 77})
        for key, leased in (("events/ns/a", True), ("pods/ns/a", False)):
            told = etcdctl(place.servers[0], "get", f"{place.prefix}/{key}", "-w", "json")
            assert ('"lease"' in told) is leased

    run(main)


def test_nothing_is_put_under_servers_that_run(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, _):
            await store.txn([Put("masterleases/192.0.2.7", b"{}", ttl=60)])
            with pytest.raises(StoreError, match=r"192\.0\.2\.7"):
                await restore(place, Plain(), [], {})
            await store.txn([Put("there/ns/still", b"v", 0)])

    run(main)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([10] * 250, [100, 100, 50]),
        ([600_000] * 3, [1, 1, 1]),
        ([500_000] * 5, [2, 2, 1]),
        ([2 << 20], [1]),
    ],
)
def test_as_many_are_put_at_once_as_etcd_takes(sizes: Sequence[int], groups: list[int]) -> None:
    pairs = [(b"k", b"x" * size, 0) for size in sizes]
    found = list(grouped(pairs))
    assert [len(group) for group in found] == groups
    assert [pair for group in found for pair in group] == pairs
