"""What the store on etcd is made of, without etcd: messages, judgements, leases, transactions, places."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import time
from pathlib import Path

import pytest

from controlplane.store import Change, Delete, Mismatch, Op, Place, Put, StoreError, Unavailable
from controlplane.store.backup import apart
from controlplane.store.etcd import releases, rpc_pb2, store, transaction, writing
from controlplane.store.etcd.doubt import Doubts
from controlplane.store.etcd.errors import Verdict, judged, was_sent
from controlplane.store.etcd.leases import Leases
from controlplane.store.etcd.members import Members, target
from controlplane.store.etcd.pages import end_of
from controlplane.store.etcd.store import EtcdStore
from controlplane.store.progress import Progress
from tests.controlplane.store.following import Plain
from tests.waiting import SECONDS, until


@pytest.mark.parametrize(
    ("version", "warned"),
    [("3.5.0", True), ("3.5.2", True), ("3.5.1-rc.0", True), ("3.5.3", False), ("3.4.23", False), ("main", False)],
)
def test_a_release_that_loses_writes_is_told(version: str, warned: bool) -> None:
    assert (version in releases.warning(version)) is warned


def test_what_was_generated_is_of_the_messages_as_they_are_written() -> None:
    text = Path(rpc_pb2.__file__).with_name("rpc.proto").read_text()
    written = {}
    for name, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = re.findall(
            r"^ +(?:repeated )?[\w.]+ (\w+) = (\d+);",
            re.sub(r"enum \w+ \{.*?\}", "", body, flags=re.DOTALL),
            re.MULTILINE,
        )
        written[name] = {field: int(number) for field, number in fields}
    made = {
        name: {field.name: field.number for field in message.fields}
        for name, message in rpc_pb2.DESCRIPTOR.message_types_by_name.items()
    }
    assert written == made


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", Verdict.COMPACTED),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", Verdict.FULL),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Verdict.ELSEWHERE),
        ("UNAVAILABLE", "etcdserver: request timed out", Verdict.ELSEWHERE),
        ("DEADLINE_EXCEEDED", "", Verdict.ELSEWHERE),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", Verdict.REFUSED),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Verdict.REFUSED),
    ],
)
def test_failures_are_judged_by_what_helps(code: str, text: str, verdict: Verdict) -> None:
    assert judged(code, text) is verdict


@pytest.mark.parametrize(
    ("code", "text", "sent"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: …: Connection refused", False),
        ("UNAVAILABLE", "etcdserver: no leader", False),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", False),
        ("UNAVAILABLE", "etcdserver: request timed out", True),
        ("UNAVAILABLE", "Socket closed", True),
        ("UNAVAILABLE", "etcdserver: leader changed", True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", True),
    ],
)
def test_what_may_have_been_done_is_told_from_what_was_not(code: str, text: str, sent: bool) -> None:
    assert was_sent(code, text) is sent


def test_a_lease_serves_for_a_while_and_for_so_many_keys() -> None:
    granted, clock = [], [0.0]

    async def grant(ttl: int) -> int:
        await asyncio.sleep(0)
        granted.append(ttl)
        return len(granted)

    async def main() -> None:
        leases = Leases(grant, lambda: clock[0])
        assert set(await asyncio.gather(*(leases.of(3600) for _ in range(10)))) == {1}
        clock[0] = 59
        assert await leases.of(3600) == 1
        assert granted == [3660], "long enough for whoever comes last"
        assert await leases.of(100) == 2 and granted[-1] == 105
        clock[0] = 61
        assert await leases.of(3600) == 3
        assert {await leases.of(3600) for _ in range(1000)} == {3, 4}
        leases.forget()
        assert await leases.of(3600) == 5

    asyncio.run(main())


def test_a_key_that_comes_twice_parts_a_transaction() -> None:
    one, two, gone = Put("a", b"1"), Put("b", b"1"), Delete("a")
    assert [list(part) for part in transaction.parts([one, two, gone, two])] == [[one, two], [gone, two]]
    assert [list(part) for part in transaction.parts([one])] == [[one]]


def test_a_refusal_names_the_first_expectation_that_did_not_hold() -> None:
    def answer(*revisions: int) -> rpc_pb2.TxnResponse:
        found = rpc_pb2.TxnResponse()
        for revision in revisions:
            kvs = [rpc_pb2.KeyValue(mod_revision=revision)] if revision else []
            found.responses.append(rpc_pb2.ResponseOp(range=rpc_pb2.RangeResponse(kvs=kvs)))
        return found

    ops: list[Op] = [Put("a", b"", 5), Delete("b", lenient=True), Put("c", b""), Delete("d")]
    assert transaction.refusal(ops, answer(4, 0, 0, 1)) == (ops[0], 4)
    assert transaction.refusal(ops, answer(5, 0, 0, 0)) == (ops[3], 0)
    assert Mismatch("a", 4).current == 4


def test_a_doubt_hears_of_its_own_value_alone() -> None:
    doubts = Doubts()
    with doubts.about(b"k", b"mine", 0) as one:
        doubts.saw(b"k", b"theirs", 5)
        doubts.saw(b"other", b"mine", 6)
        doubts.saw(b"k", None, 6)
        assert one.at == 0
        doubts.saw(b"k", b"mine", 7)
        doubts.saw(b"k", None, 8)
        doubts.saw(b"k", b"mine", 9)
        assert one.at == 7
    doubts.saw(b"k", b"mine", 10)
    assert one.at == 7


def test_a_write_that_expects_a_revision_is_the_next_change_of_its_key_or_was_never_done() -> None:
    doubts = Doubts()
    for theirs in (b"theirs", None):
        with doubts.about(b"k", b"mine", 5) as change:
            doubts.saw(b"k", b"mine", 5)
            doubts.saw(b"k", theirs, 7)
            doubts.saw(b"k", b"mine", 9)
            assert change.at == 0
    with doubts.about(b"k", b"mine", 5) as change:
        doubts.saw(b"k", b"mine", 6)
        assert change.at == 6


def test_what_follows_in_a_transaction_expects_what_it_wrote_before() -> None:
    ops: list[Op] = [Delete("a"), Delete("b", lenient=True), Put("c", b"", 3)]
    assert transaction.following(ops, {"a": 7, "c": 7}) == [Delete("a", 7), ops[1], ops[2]]


def test_servers_are_urls_or_host_and_port() -> None:
    assert target("https://10.0.0.1:2379/") == ("10.0.0.1:2379", True)
    assert target("[::1]:2379") == ("[::1]:2379", False)
    for wrong in ("ftp://h:1", "https://host", "", "http://h:1/path"):
        with pytest.raises(StoreError, match="etcd_servers"):
            target(wrong)


def test_who_speaks_in_plain_text_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Members(Place(tmp_path, ("http://127.0.0.1:2379", "localhost:2379", "https://192.0.2.1:2379")))
    assert not caplog.text
    Members(Place(tmp_path, ("http://192.0.2.1:2379",)))
    assert "192.0.2.1:2379 is reached without TLS" in caplog.text


def test_a_file_that_proves_a_server_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ca\.crt"):
        Members(Place(tmp_path, ("https://127.0.0.1:1",), ca_file=tmp_path / "ca.crt"))


def test_who_moves_on_ends_a_watch_that_is_still_being_begun(tmp_path: Path) -> None:
    async def main() -> None:
        # It is listened, and nothing is ever said.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            members = Members(Place(tmp_path, (f"http://127.0.0.1:{silent.getsockname()[1]}",)))
            watch = members.stream("Watch/Watch", rpc_pb2.WatchRequest(), rpc_pb2.WatchResponse)
            beginning = asyncio.ensure_future(anext(watch))
            connection, _ = await asyncio.to_thread(silent.accept)
            members.move()
            ended, _ = await asyncio.wait((beginning,), timeout=SECONDS)
            assert ended, "it waits for ever to be begun"
            with pytest.raises(Unavailable, match="is not asked any more"):
                beginning.result()
            await members.close()
            connection.close()

    asyncio.run(main())


def test_the_end_of_a_prefix_follows_all_below_it() -> None:
    assert b"/registry/~" < end_of(b"/registry/") == b"/registry0"


def test_rows_of_a_copy_have_revisions_of_their_own() -> None:
    changes = [Change(7, "b", b"", 7), Change(7, "a", b"", 3), Change(8, "c", b"", 8), Change(20, "d", b"", 20)]
    rows = list(apart(changes))
    assert [(row.change.key, row.change.revision) for row in rows] == [("a", 7), ("b", 8), ("c", 9), ("d", 20)]
    assert all(row.sound for row in rows)


def test_who_waits_for_a_revision_is_told_when_it_is_there() -> None:
    async def main() -> None:
        progress = Progress(3)
        assert await progress.reach(3, 0)
        assert not await progress.reach(5, 0.01)
        waiting = asyncio.ensure_future(progress.reach(5, 10))
        await asyncio.sleep(0)
        progress.advance(4)
        progress.advance(6)
        assert await waiting
        progress.advance(2)
        assert progress.revision == 6

    asyncio.run(main())


def test_of_many_who_wait_a_step_tells_those_whom_it_reaches() -> None:
    async def main() -> None:
        progress = Progress()
        waiting = [asyncio.ensure_future(progress.reach(revision, 10)) for revision in (3, 1, 2, 2, 4)]
        await asyncio.sleep(0)
        waiting[2].cancel()
        progress.advance(2)
        await asyncio.sleep(0)
        assert [each.done() for each in waiting] == [False, True, True, True, False]
        assert waiting[2].cancelled() and await waiting[1] and await waiting[3]
        progress.advance(9)
        assert await waiting[0] and await waiting[4]

    asyncio.run(main())


class Waiters:
    """A store without etcd, for those who wait for its watch; moved: the moments when a member was left."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, members: int = 3, patience: float = 0.02) -> None:
        monkeypatch.setattr(store, "ATTEMPT", patience)
        monkeypatch.setattr(store, "_SOON", 0.0)
        servers = tuple(f"http://127.0.0.1:{port}" for port in range(1, members + 1))
        self.store = EtcdStore(Place(folder, servers), Plain())
        self.moved: list[float] = []
        self._move = self.store._members.move
        monkeypatch.setattr(self.store._barrier, "_call", self.barrier)
        monkeypatch.setattr(self.store._members, "move", self.move)

    async def barrier(self) -> int:
        return 0

    def move(self) -> None:
        self.moved.append(time.monotonic())
        self._move()


def test_of_all_who_wait_for_a_silent_member_one_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        waiters = Waiters(tmp_path, monkeypatch)
        waiting = [asyncio.ensure_future(waiters.store._reach(100)) for _ in range(50)]
        await until(lambda: waiters.moved)
        waiters.store._feed.progress.advance(100)
        await asyncio.gather(*waiting)
        # Each of fifty alone would have gone on to the next member, again and again.
        assert len(waiters.moved) < 25

    asyncio.run(main())


def test_the_watch_of_the_only_member_gets_time_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, each since another moment: not every one of them ends the watch that is about to begin."""
    patience = 0.2

    async def main() -> None:
        waiters = Waiters(tmp_path, monkeypatch, 1, patience)
        waiting = []
        for _ in range(20):
            waiting.append(asyncio.ensure_future(waiters.store._reach(100)))
            await asyncio.sleep(patience / 10)
        await until(lambda: len(waiters.moved) > 2)
        waiters.store._feed.progress.advance(100)
        await asyncio.gather(*waiting)
        pauses = [later - earlier for earlier, later in itertools.pairwise(waiters.moved)]
        assert min(pauses) > patience * 0.9, pauses

    asyncio.run(main())


def test_a_write_whose_fence_is_moved_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiters, revisions, seconds = Waiters(tmp_path, monkeypatch), itertools.count(1), itertools.count()
    monkeypatch.setattr(writing, "_now", lambda: float(next(seconds)))

    async def call(path: str, *_: object) -> object:
        assert next(revisions) < 100
        moved = rpc_pb2.RangeResponse(kvs=[rpc_pb2.KeyValue(mod_revision=next(revisions))])
        found = [rpc_pb2.ResponseOp(range=rpc_pb2.RangeResponse()), rpc_pb2.ResponseOp(range=moved)]
        return rpc_pb2.TxnResponse(responses=found)

    monkeypatch.setattr(waiters.store._members, "call", call)
    with pytest.raises(Unavailable, match="nothing was written") as error:
        asyncio.run(waiters.store.txn([Put("k", b"v", 0)]))
    assert not error.value.unsure


@pytest.mark.parametrize("starting", [True, False])
def test_a_member_that_has_much_to_tell_is_not_left_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starting: bool
) -> None:
    """A start goes on for as long as more comes; a request has its time."""
    waiters = Waiters(tmp_path, monkeypatch)
    progress, seconds = waiters.store._feed.progress, itertools.count()
    monkeypatch.setattr(waiters.store, "_now", lambda: float(next(seconds)))

    async def reach(revision: int, timeout: float) -> bool:
        progress.advance(progress.revision + 1)
        return progress.revision >= revision

    monkeypatch.setattr(progress, "reach", reach)
    told = contextlib.nullcontext() if starting else pytest.raises(Unavailable)
    with told:
        asyncio.run(waiters.store._reach(100, starting=starting))
    assert waiters.moved == []
