"""The store on real etcd: revisions, expectations, everybody's writes, and what happens when etcd or the way to it is
bad.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ports
from controlplane.store import Change, Delete, Full, Mismatch, Op, Place, Put, StoreError, Unavailable, backup
from controlplane.store.etcd import feed
from controlplane.store.etcd.store import EtcdStore
from tests import etcds
from tests.controlplane.store.following import Plain, Told
from tests.waiting import SECONDS, until

_numbers = itertools.count()


@pytest.fixture(scope="module", params=["3.4", "3.5"])
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcds.Etcd]:
    with etcds.running(etcds.program(request.param), tmp_path_factory.mktemp("etcd")) as found:
        yield found


@pytest.fixture
def place(etcd: etcds.Etcd, tmp_path: Path) -> Place:
    """A prefix of its own."""
    return Place(tmp_path, etcd.urls, prefix=f"/test{next(_numbers)}")


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[tuple[EtcdStore, Told]]:
    store = EtcdStore(place, Plain())
    await store.open()
    told = Told()
    told.changes += await store.history()
    store.follow(told)
    try:
        yield store, told
    finally:
        await store.close()


def run(main: Callable[[], Awaitable[None]], seconds: float = 60) -> None:
    asyncio.run(asyncio.wait_for(main(), seconds))


def current(changes: Sequence[Change]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for change in changes:
        found.pop(change.key, None)
        if change.value is not None:
            found[change.key] = change.value
    return found


def etcdctl(url: str, *argv: str) -> str:
    program = shutil.which("etcdctl")
    if program is None:
        pytest.skip("etcdctl is not here: it comes with Debian's etcd-client")
    environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin"}
    done = subprocess.run(
        [program, f"--endpoints={url}", *argv], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    return done.stdout


def test_expectations_hold_and_a_writer_is_answered_after_its_followers(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            (first,) = await store.txn([Put("a/x", b"1", 0)])
            assert [(c.revision, c.key, c.value, c.created) for c in told.changes] == [(first, "a/x", b"1", first)]
            (second,) = await store.txn([Put("a/x", b"2", first)])
            assert told.changes[-1].created == first and store.revision == second == told.revision
            refused: list[tuple[Op, int]] = [
                (Put("a/x", b"3", first), second),
                (Put("a/x", b"3", 0), second),
                (Put("a/y", b"3", 7), 0),
                (Delete("a/x", first), second),
                (Delete("a/y"), 0),
            ]
            for op, stands in refused:
                with pytest.raises(Mismatch) as error:
                    await store.txn([op])
                assert (error.value.key, error.value.current) == (op.key, stands)
            with pytest.raises(Mismatch):
                await store.txn([Put("new", b"1", 0), Put("a/x", b"2", 99)])
            (gone,) = await store.txn([Delete("a/x", second)])
            assert told.changes[-1].value is None and gone > second
            assert current(told.changes) == {}, "all or nothing"

    run(main)


def test_a_key_that_comes_twice_is_written_before_it_is_removed(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            (at,) = await store.txn([Put("k", b"1", 0)])
            marked, gone = await store.txn([Put("k", b"2", at), Delete("k")])
            assert at < marked < gone
            assert [change.value for change in told.changes] == [b"1", b"2", None]
            both = await store.txn([Put("a", b"1", 0), Put("b", b"1", 0), Delete("c", lenient=True)])
            assert len(set(both)) == 1, "what can be is one transaction"

    run(main)


def test_of_many_writers_that_expect_the_same_one_succeeds(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (one, _), opened(place) as (two, _):
            outcomes = await asyncio.gather(
                *(store.txn([Put("k", b"%d" % n, 0)]) for n in range(20) for store in (one, two)),
                return_exceptions=True,
            )
            assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
            assert all(isinstance(outcome, list | Mismatch) for outcome in outcomes)

    run(main)


def test_servers_see_each_others_writes_in_one_order_and_nothing_is_missing(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (one, first), opened(place) as (two, second):
            await asyncio.gather(
                *(
                    store.txn([Put(f"{n}", b"v", 0)])
                    for n in range(50)
                    for store in (one, two)
                    if (n % 2) == (store is two)
                )
            )
            await asyncio.gather(one.fresh(), two.fresh())
            assert first.changes == second.changes and len(first.changes) == 50
            revisions = [change.revision for change in first.changes]
            assert revisions == sorted(set(revisions))
            (at,) = await one.txn([Put("late", b"v", 0)])
            await two.fresh()
            assert second.changes[-1].revision == at, "what was answered there can be read here"
            # Somebody else's keys move the revision, too.
            etcdctl(place.servers[0], "put", "/elsewhere", "x")
            await asyncio.wait_for(two.fresh(), SECONDS)
            assert second.revision > at

    run(main)


def test_a_read_waits_for_what_was_answered_elsewhere_however_late_the_watch_is(place: Place) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with opened(place) as (one, _), opened(place) as (two, told):
            real = two._feed._take
            two._feed._take = lambda answer: loop.call_later(0.2, real, answer)  # type: ignore[method-assign, assignment]
            (at,) = await one.txn([Put("late", b"v", 0)])
            assert not told.changes
            await two.fresh()
            assert [change.revision for change in told.changes] == [at]
            two._feed._take = real  # type: ignore[method-assign]

    run(main)


def test_a_start_reads_what_is_there_and_the_history_that_is_kept(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            for number in range(10):
                await store.txn([Put(f"k{number % 3}", b"%d" % number)])
            await store.txn([Delete("k0")])
            before, compact_at = list(told.changes), told.changes[5].revision
        async with opened(place) as (again, told):
            assert told.changes[-11:] == before and again.revision >= before[-1].revision
            await again.compact(compact_at)
            assert again.compacted == compact_at
            newest = again.revision
        async with opened(place) as (third, told):
            assert third.compacted == compact_at and third.revision >= newest
            assert current(told.changes) == current(before)
            assert [c for c in told.changes if c.revision > compact_at] == before[6:]

    run(main)


def test_what_is_put_for_some_time_goes_by_itself(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            await asyncio.gather(*(store.txn([Put(f"k{n}", b"v", ttl=1)]) for n in range(5)))
            leases = json.loads(etcdctl(place.servers[0], "lease", "list", "-w", "json"))["leases"]
            assert len(leases) == 1, "one lease for all"
            await until(lambda: current(told.changes) == {}, what="they are gone")

    run(main)


# --- bad ways ---


def test_a_write_whose_answer_is_lost_is_known_to_have_been_done(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            (at,) = await store.txn([Put("k", b"1", 0)])
            lose(store)
            (second,) = await store.txn([Put("k", b"2", at)])
            assert second == told.changes[-1].revision > at
            lose(store)
            (gone,) = await store.txn([Delete("k", second)])
            assert told.changes[-1].value is None and told.changes[-1].revision == gone
            # Somebody else was faster: that is told as it is.
            async with opened(place) as (other, _):
                lose(store, before=lambda: other.txn([Put("k", b"theirs", 0)]))
                with pytest.raises(Mismatch):
                    await store.txn([Put("k", b"ours", 0)])
            assert [change.value for change in told.changes] == [b"1", b"2", None, b"theirs"]

    run(main)


def test_a_deletion_whose_answer_is_lost_is_not_taken_for_somebody_elses(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told), opened(place) as (other, _):
            (at,) = await store.txn([Put("k", b"1", 0)])
            lose(store, before=lambda: other.txn([Delete("k", at)]))
            with pytest.raises(Mismatch):
                await store.txn([Delete("k", at)])
            # Nor any that comes later, where nothing is expected.
            await store.txn([Put("k", b"2", 0)])
            lose(store)
            (gone,) = await store.txn([Delete("k")])
            assert [change.value for change in told.changes] == [b"1", None, b"2", None]
            assert told.changes[-1].revision == gone

    run(main)


@pytest.mark.parametrize("op", [Put("k", b"mine", 0), Delete("k")], ids=["creation", "removal"])
def test_what_was_stuck_on_its_way_is_not_taken_after_its_writer_was_answered(place: Place, op: Op) -> None:
    """It was sent again meanwhile; what others did since must not be undone by the first."""

    async def main() -> None:
        async with opened(place) as (store, told), opened(place) as (other, _):
            removal = isinstance(op, Delete)
            if removal:
                await other.txn([Put("k", b"theirs", 0)])
            stuck = hold(store)
            (at,) = await store.txn([op])
            await (other.txn([Put("k", b"theirs", 0)]) if removal else other.txn([Delete("k", at)]))
            answer = await stuck[0]()
            assert not answer.succeeded
            # What the fence had nothing to do with goes on, at every server.
            await other.txn([Put("other", b"v", 0)])
            await store.fresh()
            expected = [b"theirs", None, b"theirs", b"v"] if removal else [b"mine", None, b"v"]
            assert [change.value for change in told.changes] == expected

    run(main)


def hold(store: EtcdStore) -> list[Callable[[], Awaitable[Any]]]:
    """Keep the next transaction on its way: what is given is to send it, later."""
    members, held = store._members, list[Callable[[], Awaitable[Any]]]()
    real = members.call

    async def stuck(path: str, request: Any, *args: Any) -> Any:
        if path != "KV/Txn":
            return await real(path, request, *args)
        members.call = real  # type: ignore[method-assign]
        copy = type(request).FromString(request.SerializeToString())
        held.append(lambda: real(path, copy, *args))
        raise Unavailable("no answer", unsure=True)

    members.call = stuck  # type: ignore[method-assign, assignment]
    return held


def test_what_is_marked_and_removed_is_removed_only_as_it_was_marked(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told), opened(place) as (other, _):
            (at,) = await store.txn([Put("k", b"1", 0)])
            members, real = store._members, store._members.call

            async def interrupted(path: str, *args: Any) -> Any:
                answer = await real(path, *args)
                if path == "KV/Txn":
                    members.call = real  # type: ignore[method-assign]
                    await other.txn([Put("k", b"theirs", answer.header.revision)])
                return answer

            members.call = interrupted  # type: ignore[method-assign, assignment]
            with pytest.raises(Mismatch):
                await store.txn([Put("k", b"marked", at), Delete("k")])
            assert [change.value for change in told.changes] == [b"1", b"marked", b"theirs"]

    run(main)


def test_what_is_removed_is_made_anew_in_the_same_transaction(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            await store.txn([Put("k", b"1", 0)])
            _, at = await store.txn([Delete("k"), Put("k", b"2")])
            assert [change.value for change in told.changes] == [b"1", None, b"2"]
            assert told.changes[-1].revision == at

    run(main)


def lose(store: EtcdStore, before: Callable[[], Awaitable[Any]] | None = None) -> None:
    """Lose the next transaction's answer; before: done just before it, which then fails in earnest."""
    members = store._members
    real = members.call

    async def lossy(path: str, *args: Any) -> Any:
        if path != "KV/Txn":
            return await real(path, *args)
        members.call = real  # type: ignore[method-assign]
        if before is not None:
            await before()
        await real(path, *args)
        raise Unavailable("lost", unsure=True)

    members.call = lossy  # type: ignore[method-assign, assignment]


def test_a_watch_that_is_cut_goes_on_without_a_gap(place: Place) -> None:
    async def main() -> None:
        relay = etcds.Relay(place.servers[0])
        await relay.start()
        through = Place(place.data_dir, (relay.url,), prefix=place.prefix)
        async with opened(place) as (other, all_of_it), opened(through) as (store, told):
            await store.txn([Put("before", b"v", 0)])
            await relay.cut()
            await until(lambda: store.away, what="it says so")
            for number in range(20):
                await other.txn([Put(f"k{number}", b"v", 0)])
            assert len(told.changes) == 1
            await relay.start()
            await until(lambda: told.changes == all_of_it.changes, what="it caught up")
            assert not told.missed
            await until(lambda: not store.away)
        await relay.cut()

    run(main)


def test_what_was_compacted_while_a_watch_was_cut_is_read_anew(place: Place) -> None:
    async def main() -> None:
        relay = etcds.Relay(place.servers[0])
        await relay.start()
        through = Place(place.data_dir, (relay.url,), prefix=place.prefix)
        async with opened(place) as (other, all_of_it), opened(through) as (store, told):
            await store.txn([Put("before", b"v", 0)])
            await relay.cut()
            for number in range(5):
                await other.txn([Put(f"k{number}", b"v", 0)])
            await other.txn([Delete("before")])
            await other.compact(other.revision)
            await relay.start()
            ((missed, at),) = await until(lambda: told.missed, what="it was told")
            assert at >= other.revision and current(missed) == current(all_of_it.changes)
            await store.txn([Put("after", b"v", 0)])
            assert told.changes[-1].key == "after"
        await relay.cut()

    run(main)


def test_no_answer_is_told_in_bounded_time_and_heals(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def hurried() -> Iterator[None]:
        """While it lasts, etcd is given up soon; to heal takes as long as it takes."""
        with monkeypatch.context() as patched:
            for module, name, value in (
                ("store", "DEADLINE", 0.5),
                ("writing", "DEADLINE", 0.5),
                ("writing", "ATTEMPT", 0.2),
                ("store", "ATTEMPT", 0.2),
                ("calls", "DEADLINE", 0.5),
            ):
                patched.setattr(f"controlplane.store.etcd.{module}.{name}", value)
            yield

    async def main() -> None:
        relay = etcds.Relay(place.servers[0])
        await relay.start()
        async with opened(Place(place.data_dir, (relay.url,), prefix=place.prefix)) as (store, _):
            await relay.cut()
            with hurried():
                with pytest.raises(Unavailable, match=relay.url):
                    await asyncio.wait_for(store.txn([Put("k", b"v", 0)]), SECONDS)
                with pytest.raises(Unavailable):
                    await asyncio.wait_for(store.fresh(), SECONDS)
            await relay.start()
            await until(lambda: written(store), what="it writes again")
            relay.hang()
            with hurried():
                with pytest.raises(Unavailable, match="not known whether") as error:
                    await asyncio.wait_for(store.txn([Put("hung", b"v", 0)]), SECONDS)
                assert error.value.unsure
            await relay.cut()
            await relay.start()
            await until(lambda: written(store), what="it writes again")
        await relay.cut()

    async def written(store: EtcdStore) -> bool:
        try:
            return bool(await store.txn([Put("again", b"v")]))
        except Unavailable:
            return False

    run(main)


def test_a_server_that_finds_no_etcd_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.store.etcd.calls.DEADLINE", 0.3)
    monkeypatch.setattr("controlplane.store.etcd.store._START", 0.3)
    (port,) = ports.free()

    async def main() -> None:
        with pytest.raises(StoreError, match=f"127.0.0.1:{port}"):
            async with opened(Place(tmp_path, (f"127.0.0.1:{port}",))):
                pass

    run(main)


def test_a_full_etcd_says_so_and_heals_when_it_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.store.etcd.store._LOOK_AGAIN", 0.1)

    async def main(url: str) -> None:
        async with opened(Place(tmp_path, (url,))) as (store, told):
            for number in range(3):
                etcdctl(url, "put", f"/elsewhere{number}", "x")
            await store.txn([Put("other", b"v", 0)])
            with pytest.raises(Full, match="alarm disarm"):
                for number in range(100):
                    await store.txn([Put(f"k{number % 3}", b"x" * 500_000)])
            assert "full" in store.trouble and not store.away
            # It can be read.
            await store.fresh()
            assert sorted(current(await store.history())) == ["k0", "k1", "k2", "other"]
            # Others remove what is theirs, and no write of ours can follow that.
            etcdctl(url, "del", "/elsewhere0")
            before = store.revision
            await store.fresh()
            assert store.revision > before
            await store.compact(store.revision)
            etcdctl(url, "defrag")
            # Its alarm still stands: such a one takes what only removes, and newer ones do without any room.
            (gone, *_) = await store.txn([Delete("k0"), Delete("k1", lenient=True), Delete("none", lenient=True)])
            assert [change.key for change in told.changes if change.revision == gone] == ["k0", "k1"]
            # What is ours has to be told first.
            real, seen = store._feed._take, list[Any]()
            store._feed._take = seen.append  # type: ignore[method-assign, assignment]
            etcdctl(url, "del", "/registry/other")
            etcdctl(url, "del", "/elsewhere1")
            await until(lambda: seen)
            before = store.revision
            assert await store._catch_up() == before
            store._feed._take = real  # type: ignore[method-assign]
            real(seen.pop())
            etcdctl(url, "del", "/elsewhere2")
            await store.fresh()
            assert told.changes[-1].key == "other" and told.changes[-1].value is None
            with pytest.raises(Mismatch):
                await store.txn([Delete("k0")])
            with pytest.raises(Full):
                await store.txn([Put("k0", b"v", 0)])
            lose(store)
            with pytest.raises(Unavailable, match="not known whether") as error:
                await store.txn([Delete("k2")])
            assert error.value.unsure
            etcdctl(url, "alarm", "disarm")
            await until(lambda: not store.trouble)
            await store.txn([Put("after", b"v", 0)])

    with etcds.running(etcds.any_program(), tmp_path, more={"quota-backend-bytes": str(8 << 20)}) as etcd:
        run(lambda: main(etcd.urls[0]))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_losing_the_member_that_is_asked_costs_no_write(tmp_path: Path, how: signal.Signals) -> None:
    """It is the leader, too: the others elect one."""

    async def main(etcd: etcds.Etcd) -> None:
        leader = leader_of(etcd)
        urls = (leader.url, *(member.url for member in etcd.members if member is not leader))
        async with opened(Place(tmp_path, urls)) as (store, told):
            await store.txn([Put("before", b"v", 0)])
            leader.signal(how)
            acknowledged = [await store.txn([Put(f"k{number}", b"v", 0)]) for number in range(20)]
            assert [[change.revision] for change in told.changes[1:]] == acknowledged
            assert not told.missed
            await store.fresh()

    with etcds.running(etcds.any_program(), tmp_path, 3) as etcd:
        run(lambda: main(etcd))


def leader_of(etcd: etcds.Etcd) -> etcds.Member:
    for member in etcd.members:
        (status,) = json.loads(etcdctl(member.url, "endpoint", "status", "-w", "json"))
        if status["Status"]["leader"] == status["Status"]["header"]["member_id"]:
            return member
    raise AssertionError("no leader")


# --- copies ---


def test_a_copy_holds_what_is_there_each_at_a_revision_of_its_own(place: Place, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            await store.txn([Put(f"k{n}", b"%d" % n, 0) for n in range(5)])
            await store.txn([Put("late", b"v", 0)])
            found = await store.snapshot(tmp_path / "copy.db")
            _, changes = backup.read(found.path)
            assert current(changes) == current(told.changes) and found.objects == 6
            assert len({change.revision for change in changes}) == 6

    run(main)


def test_what_cannot_be_read_is_left_out_and_told(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    class Picky(Plain):
        def inward(self, key: str, value: bytes) -> bytes:
            if value == b"bad":
                raise ValueError("it is bad")
            return value

    async def main() -> None:
        store, told = EtcdStore(place, Picky()), Told()
        await store.open()
        store.follow(told)
        # By another program, as the store reads what it writes itself.
        etcdctl(place.servers[0], "put", f"{place.prefix}/one", "bad")
        await store.txn([Put("two", b"good", 0)])
        await store.close()
        assert [change.key for change in told.changes] == ["two"]

    run(main)
    assert feed.__name__ in caplog.text or "it is bad" in caplog.text


def test_a_writer_need_not_wait_for_the_watch_of_what_nobody_else_wrote_before(place: Place) -> None:
    async def main() -> None:
        async with opened(place) as (store, told):
            real = store._feed._take
            store._feed._take = lambda answer: None  # type: ignore[method-assign]
            written = await asyncio.gather(*(store.txn([Put(f"k{n}", b"v", 0)]) for n in range(20)))
            (removed,) = await store.txn([Delete("k3", written[3][0])])
            store._feed._take = real  # type: ignore[method-assign]
            revisions = [change.revision for change in told.changes]
            assert revisions == [*sorted(at for (at,) in written), removed] == [*range(revisions[0], revisions[0] + 21)]

    run(main)
