"""Collections, their history and their watchers, without a server."""

import asyncio
import threading
from typing import Any

import orjson
import pytest

from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from controlplane.apiserver.cache import select
from controlplane.apiserver.cache.cache import Cache, key_of
from controlplane.apiserver.cache.collection import Collection
from controlplane.apiserver.cache.entry import Entry, encode, head_of
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.cache.watcher import QUEUE_LIMIT, Watcher
from controlplane.apiserver.formats.encodings import Yaml
from controlplane.apiserver.formats.shapes import WholeFormat
from controlplane.apiserver.offloop import LARGE
from controlplane.apiserver.reading import one
from controlplane.apiserver.resources import core
from controlplane.store import Change
from tests.waiting import WHOLE

Obj = dict[str, Any]


def body(name: str, **labels: str) -> bytes:
    return encode({"metadata": {"name": name, "namespace": "ns", "labels": labels}, "data": {"k": name}})


def drained(watcher: Watcher) -> list[tuple[str, Obj]]:
    frames = asyncio.run(watcher.next(0))
    found = [orjson.loads(line) for line in (frames or b"").splitlines()]
    return [(event["type"], event["object"]) for event in found]


def test_an_entry_knows_its_revision_without_encoding_anew() -> None:
    entry = Entry(head_of(kinds.CONFIG_MAP), "ns", "m", 17, body("m"))
    assert entry.obj["metadata"]["resourceVersion"] == "17" and entry.obj["kind"] == "ConfigMap"
    later = entry.at(23)
    assert later.obj == {**entry.obj, "metadata": {**entry.obj["metadata"], "resourceVersion": "23"}}
    assert later.body == entry.body == body("m")
    assert orjson.loads(b"{" + entry.tail).keys() == {"metadata", "data"}


@pytest.mark.parametrize("followed", [False, True])
def test_a_start_reads_once_where_each_object_belongs_and_keeps_none_of_them_decoded(followed: bool) -> None:
    read: list[str] = []

    def node(obj: Obj) -> str:
        read.append(obj["metadata"]["name"])
        return str(obj["metadata"]["labels"].get("node", ""))

    cache = Cache()
    cache.add(kinds.CONFIG_MAP, node)
    told = (("a", "n1"), ("b", "n1"), ("a", "n2"), ("c", ""), ("b", None))
    changes = [
        Change(at, f"configmaps/ns/{name}", None if on is None else body(name, node=on), at)
        for at, (name, on) in enumerate(told, start=2)
    ]
    cache.load(changes, changes[-1].revision, 0)
    collection = cache.collection(kinds.CONFIG_MAP)
    if followed:
        # Whoever looks at each object at the start has it decoded once for both.
        seen: list[str | None] = []
        collection.subscribe(lambda old, new: seen.append(named(new)))
        assert seen == ["a", "c"] == read
    cache.index()
    assert sorted(read) == ["a", "c"]
    assert [[e.name for e in collection.select(Selection(node=each))] for each in ("n1", "n2")] == [[], ["a"]]
    assert not [entry for entry in collection.scan() if entry._obj is not None]
    collection.apply("ns", "a", 9, body("a", node="n1"))
    assert [[e.name for e in collection.select(Selection(node=each))] for each in ("n1", "n2")] == [["a"], []]


def test_what_changes_before_anybody_asks_by_node_is_found_there_all_the_same() -> None:
    collection = Collection(kinds.CONFIG_MAP, lambda obj: str(obj["metadata"]["labels"].get("node", "")))
    collection.load("ns", "a", 2, body("a", node="n1"))
    collection.apply("ns", "a", 3, body("a", node="n2"))
    collection.apply("ns", "b", 4, body("b", node="n1"))
    assert [[e.name for e in collection.select(Selection(node=each))] for each in ("n1", "n2")] == [["b"], ["a"]]


def test_lists_follow_the_order_of_keys() -> None:
    collection = Collection(kinds.CONFIG_MAP)
    for revision, (space, name) in enumerate([("b", "x"), ("a", "z"), ("a-b", "y"), ("a", "b")], start=2):
        collection.load(space, name, revision, body(name))
    listed = [(entry.namespace, entry.name) for entry in collection.scan()]
    assert listed == sorted(listed, key=lambda key: "/".join(key))


def test_an_earlier_moment_can_be_listed_until_it_is_forgotten() -> None:
    collection = Collection(kinds.CONFIG_MAP)
    collection.apply("ns", "a", 2, body("a", v="1"))
    collection.apply("ns", "b", 3, body("b"))
    collection.apply("ns", "a", 4, body("a", v="2"))
    collection.apply("ns", "b", 5, None)
    everything = Selection("ns")
    moments = {at: [(e.name, e.revision) for e in collection.at(at, everything)] for at in (2, 3, 4, 5)}
    assert moments == {2: [("a", 2)], 3: [("a", 2), ("b", 3)], 4: [("a", 4), ("b", 3)], 5: [("a", 4)]}
    collection.forget(4)
    assert collection.floor == 4
    assert [event.revision for event in collection.since(4)] == [5]


def test_a_watch_begins_wherever_it_misses_no_change_of_its_kind() -> None:
    quiet, busy = kinds.CONFIG_MAP, kinds.POD
    cache = Cache()
    cache.add(quiet)
    cache.add(busy)
    cache.load([Change(3, key_of(quiet, "ns", "old"), body("old"), 1)], 5, 4)
    collection = cache.collection(quiet)
    assert collection.horizon == 4, "what was deleted before the start is not known"
    cache.deliver([Change(6, key_of(quiet, "ns", "a"), body("a"), 1)])
    cache.deliver([Change(revision, key_of(busy, "ns", "b"), body("b"), 1) for revision in range(7, 20)])
    cache.forget(18)
    assert (collection.floor, collection.horizon, cache.collection(busy).horizon) == (18, 6, 18)
    cache.deliver([Change(20, key_of(quiet, "ns", "a"), None, 1)])
    assert [event.revision for event in collection.since(6)] == [20]
    cache.forget(19)
    assert collection.horizon == 6
    cache.forget(25)
    assert collection.horizon == 20
    cache.overtake([], 30)
    assert collection.horizon == 30, "changes were missed"
    late = kinds.SECRET
    cache.add(late)
    assert cache.collection(late).horizon == 30


def test_history_is_kept_for_as_long_as_it_is_less_than_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.apiserver.cache.collection._HISTORY_LEAST", 2000)

    def kept(objects: int) -> int:
        """Changes of one object that can be resumed from, beside so many others."""
        collection = Collection(kinds.CONFIG_MAP)
        for number in range(objects):
            collection.apply("ns", f"other{number}", 2 + number, body(f"other{number}", v="x" * 100))
        for number in range(1000):
            collection.apply("ns", "a", 10_000 + number, body("a", v="x" * 100))
        return sum(event.revision >= 10_000 for event in collection.since(collection.floor))

    few, many = kept(0), kept(200)
    assert 2 < few < 8 and 90 < many < 220
    # What goes is not counted any more.
    collection = Collection(kinds.CONFIG_MAP)
    for revision in range(2, 200, 2):
        collection.apply("ns", "a", revision, body("a"))
        collection.apply("ns", "a", revision + 1, None)
    assert collection._bytes == 0


def test_a_selector_turns_changes_into_arrivals_and_departures() -> None:
    collection = Collection(kinds.CONFIG_MAP)
    watcher = Watcher(
        kinds.CONFIG_MAP, select.parse(kinds.CONFIG_MAP, core.CONFIG_MAP.fields, "ns", "", "app=web", ""), None
    )
    collection.attach(watcher)
    collection.apply("ns", "a", 2, body("a", app="db"))
    collection.apply("ns", "a", 3, body("a", app="web"))
    collection.apply("ns", "a", 4, body("a", app="web", more="yes"))
    collection.apply("ns", "a", 5, body("a", app="db"))
    collection.apply("other", "b", 6, body("b", app="web"))
    events = drained(watcher)
    assert [(kind, obj["metadata"]["resourceVersion"]) for kind, obj in events] == [
        ("ADDED", "3"),
        ("MODIFIED", "4"),
        ("DELETED", "5"),
    ]
    assert events[-1][1]["metadata"]["labels"]["more"] == "yes"


def test_watchers_share_the_bytes_of_an_event() -> None:
    collection = Collection(kinds.CONFIG_MAP)
    watchers = [Watcher(kinds.CONFIG_MAP, Selection("ns"), None) for _ in range(3)]
    for watcher in watchers:
        collection.attach(watcher)
    collection.apply("ns", "a", 2, body("a"))
    first, *rest = [watcher._frames[0] for watcher in watchers]
    assert all(frame is first for frame in rest)


def test_who_comes_from_a_server_that_is_ahead_is_told_nothing_twice() -> None:
    """A watch goes on at a server whose store has not told it yet what the client knows."""
    collection = Collection(kinds.CONFIG_MAP)
    ahead = Watcher(kinds.CONFIG_MAP, Selection("ns"), None)
    ahead.know(7)
    collection.attach(ahead)
    for revision in (6, 7):
        collection.apply("ns", f"a{revision}", revision, body(f"a{revision}"))
        assert ahead.knows(revision) is (revision < 7)
    assert drained(ahead) == []
    collection.apply("ns", "a8", 8, body("a8"))
    assert [type for type, _ in drained(ahead)] == ["ADDED"]


def test_a_slow_watcher_is_ended_and_the_rest_go_on() -> None:
    collection = Collection(kinds.CONFIG_MAP)
    slow = Watcher(kinds.CONFIG_MAP, Selection("ns"), None)
    collection.attach(slow)
    for revision in range(2, QUEUE_LIMIT + 5):
        collection.apply("ns", "a", revision, body("a"))
    assert slow.overrun
    assert asyncio.run(slow.next(0)) is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [("spec.nope=1", "field label not supported: spec.nope"), ("status.hostIP=1", "field label not supported")],
)
def test_unknown_fields_are_refused(fields: str, text: str) -> None:
    with pytest.raises(errors.BadRequest, match=text):
        select.parse(kinds.POD, core.POD.fields, "ns", "", "", fields)


class Where(WholeFormat):
    """A format that notes in which thread it encodes."""

    def __init__(self) -> None:
        super().__init__(Yaml())
        self.threads: list[int]
        object.__setattr__(self, "threads", [])

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        self.threads.append(threading.get_ident())
        return type.encode() + b"\n"

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        self.threads.append(threading.get_ident())
        return b"one"


def large(name: str) -> bytes:
    return encode({"metadata": {"name": name, "namespace": "ns"}, "data": {"k": "v" * LARGE}})


def test_events_of_large_objects_are_encoded_beside_the_loop_and_once_for_all() -> None:
    async def main() -> None:
        collection, format = Collection(kinds.CONFIG_MAP), Where()
        collection.apply("ns", "before", 2, large("before"))
        watchers = [Watcher(kinds.CONFIG_MAP, Selection("ns"), format) for _ in range(3)]
        watchers[0].begin(Event(collection.kind, 2, None, entry) for entry in collection.scan())
        for watcher in watchers:
            collection.attach(watcher)
        for revision, made in ((3, large("m")), (4, body("small")), (5, large("m"))):
            collection.apply("ns", "m", revision, made)
        assert len(format.threads) == 1, "the small one alone was made at once"
        assert await watchers[0].next(0) == b"ADDED\n"
        waiting = [watcher.next(0) for watcher in watchers]
        assert await asyncio.gather(*waiting) == [b"ADDED\nMODIFIED\nMODIFIED\n"] * 3
        # What was missed, the first change once for those to whom it comes first and once for the other, the last one.
        assert len(format.threads) == 5 and format.threads.count(threading.get_ident()) == 1

    asyncio.run(main())


@pytest.mark.parametrize(("made", "here"), [(large("m"), False), (body("m"), True)])
def test_an_answer_that_shows_a_large_object_is_encoded_beside_the_loop(made: bytes, here: bool) -> None:
    async def main() -> None:
        collection, format = Collection(kinds.CONFIG_MAP), Where()
        collection.load("ns", "m", 2, made)
        assert (await one(collection.kind, collection.scan()[0], 200, format)).body == b"one"
        assert [thread == threading.get_ident() for thread in format.threads] == [here]

    asyncio.run(main())


def test_what_is_kept_decoded_is_bounded_in_bytes() -> None:
    collection = Collection(kinds.CONFIG_MAP)
    for number in range(40):
        data = {"k": "v" * (1 << 20)}
        raw = encode({"metadata": {"name": f"m{number}", "namespace": "ns"}, "data": data})
        collection.load("ns", f"m{number}", number + 2, raw)
        assert collection.get("ns", f"m{number}").obj  # type: ignore[union-attr]
    kept = [entry for entry in collection.scan() if entry._obj is not None]
    assert 1 <= len(kept) <= 16


def test_changes_that_were_missed_are_made_up_for_and_whoever_watches_lists_anew() -> None:
    kind = kinds.CONFIG_MAP

    def change(revision: int, name: str, **labels: str) -> Change:
        return Change(revision, key_of(kind, "ns", name), body(name, **labels), revision)

    cache, seen = Cache(), list[tuple[str | None, str | None]]()
    cache.add(kind)
    before = [change(2, "same"), change(3, "changed"), change(4, "gone")]
    cache.load(before, 4, 1)
    collection = cache.collection(kind)
    collection.subscribe(lambda old, new: seen.append((named(old), named(new))), replay=False)
    watcher = Watcher(kind, Selection(), None)
    collection.attach(watcher)
    cache.overtake([before[0], change(7, "new"), change(9, "changed", a="b")], 12)
    assert [entry.name for entry in collection.scan()] == ["changed", "new", "same"]
    assert seen == [(None, "new"), ("changed", "changed"), ("gone", None)]
    assert watcher.overrun and asyncio.run(watcher.next(0)) is None, "it is ended, and was told nothing of that"
    assert cache.revision == 12 and collection.horizon == 12, "and nobody resumes from before"
    asyncio.run(asyncio.wait_for(cache.reach(12, 1), WHOLE))


def named(obj: Obj | None) -> str | None:
    return obj["metadata"]["name"] if obj is not None else None
