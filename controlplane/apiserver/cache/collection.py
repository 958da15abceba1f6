"""All objects of one kind, their recent history and their watchers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import Entry, head_of
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.cache.selectable import Getter
from controlplane.apiserver.cache.watcher import Watcher

Subscriber = Callable[["Obj | None", "Obj | None"], None]
Follower = Callable[[Event], None]
# Bytes of superseded objects that one kind keeps for watchers that resume: as many as its objects have, for who missed
# more is sent less when it lists, and so many at least, or at most.
_HISTORY_LEAST, _HISTORY_MOST = 16 << 20, 64 << 20


class Collection:
    """Current entries by namespace ("" for cluster-scoped kinds) and name."""

    def __init__(self, kind: Kind, node: Getter | None = None, versioned: bool = False) -> None:
        """node: reads the node that an object belongs to, where an index by it is worth keeping. versioned: what is
        stored of it says its version.
        """
        self.kind = kind
        self.versioned = versioned
        self.head = head_of(kind)
        # Lists can show any revision from here on; and watches begin at any from here on, which may be far older: no
        # change of these objects between the two has been dropped.
        self.floor = 0
        self.horizon = 0
        self._spaces: dict[str, dict[str, Entry]] = {}
        self._order: dict[str, list[Entry]] = {}
        self._nodes: dict[str, dict[tuple[str, str], Entry]] = {}
        self._node = node
        self._indexed = False
        self._history: list[Event] = []
        self._history_bytes = 0
        # Of all that is there.
        self._bytes = 0
        self._watchers: dict[tuple[str, str, str], set[Watcher]] = {}
        self._followers: list[Follower] = []

    def __len__(self) -> int:
        return sum(len(space) for space in self._spaces.values())

    def get(self, namespace: str, name: str) -> Entry | None:
        space = self._spaces.get(namespace)
        return space.get(name) if space else None

    def namespaces(self) -> list[str]:
        return [name for name, space in self._spaces.items() if space]

    def scan(self, namespace: str = "") -> list[Entry]:
        """The entries of one namespace, or of all, in key order. The list is shared: do not change it."""
        found = self._order.get(namespace)
        if found is None:
            found = self._order[namespace] = self._sorted(namespace)
        return found

    def select(self, selection: Selection) -> list[Entry]:
        """The entries that a selection is about, in key order."""
        if selection.name and (selection.namespace or not self.kind.namespaced):
            entry = self.get(selection.namespace, selection.name)
            return [entry] if entry and selection.matches(entry) else []
        if selection.node:
            self.index()
            on_node = self._nodes.get(selection.node, {})
            return [on_node[key] for key in sorted(on_node) if selection.matches(on_node[key])]
        entries = self.scan(selection.namespace)
        if selection.plain and not selection.name:
            return entries
        return [entry for entry in entries if selection.matches(entry)]

    def at(self, revision: int, selection: Selection) -> list[Entry]:
        """What select() gave at an earlier revision, by undoing history. revision must not be below floor."""
        found = {(e.namespace, e.name): e for e in self.select(selection)}
        for event in reversed(self._history):
            if event.revision <= revision:
                break
            subject = event.new or event.old
            assert subject is not None
            found.pop((subject.namespace, subject.name), None)
            if event.old is not None and selection.matches(event.old):
                found[event.old.namespace, event.old.name] = event.old
        return sorted(found.values(), key=_key)

    def _sorted(self, namespace: str) -> list[Entry]:
        if namespace or not self.kind.namespaced:
            space = self._spaces.get(namespace, {})
            return [space[name] for name in sorted(space)]
        spaces = sorted(self._spaces, key=lambda ns: ns + "/")
        return [self._spaces[ns][name] for ns in spaces for name in sorted(self._spaces[ns])]

    # --- changes ---

    def load(self, namespace: str, name: str, revision: int, body: bytes | None) -> None:
        """A change from before the start: as apply, with nobody to tell. It is read once everything is there."""
        self._indexed = False
        self._change(namespace, name, revision, body)

    def index(self) -> None:
        """Read which node each object belongs to, of those that are left of all that was loaded; unless it is known."""
        if self._node is not None and not self._indexed:
            for _ in self._objects():
                pass

    def _objects(self) -> Iterator[Obj]:
        """All that is there, in key order, each decoded for one look; and the index, which must look at each, too."""
        read = self._node if not self._indexed else None
        self._nodes = {} if read is not None else self._nodes
        for entry in self.scan():
            obj = entry.glance()
            if read is not None:
                self._belongs(read(obj), entry)
            yield obj
        self._indexed = True

    def apply(self, namespace: str, name: str, revision: int, body: bytes | None) -> None:
        """Take a change in and tell watchers and subscribers."""
        event = self._change(namespace, name, revision, body)
        if event is None:
            return
        if self._node is not None and self._indexed:
            self._index(self._node, event.old, event.new)
        for watcher in self._concerned(event):
            watcher.offer(event)
        event.forget_frames()
        for follower in self._followers:
            follower(event)

    def _change(self, namespace: str, name: str, revision: int, body: bytes | None) -> Event | None:
        space = self._spaces.setdefault(namespace, {})
        old = space.get(name)
        if old is not None:
            # What is kept of its history need not have a name of its own.
            name = old.name
        new = None if body is None else Entry(self.head, namespace, name, revision, body)
        if new is not None:
            space[name] = new
        elif space.pop(name, None) is None:
            return None
        elif not space:
            del self._spaces[namespace]
        self._order.pop(namespace, None)
        self._order.pop("", None)
        event = Event(self.kind, revision, old, new)
        self._bytes += (len(new.wire) if new else 0) - (len(old.wire) if old else 0)
        self._remember(event)
        return event

    def _index(self, read: Getter, old: Entry | None, new: Entry | None) -> None:
        if old is not None and (node := read(old.obj)) and (on_node := self._nodes.get(node)):
            on_node.pop((old.namespace, old.name), None)
            if not on_node:
                del self._nodes[node]
        if new is not None:
            self._belongs(read(new.obj), new)

    def _belongs(self, node: str, entry: Entry) -> None:
        if node:
            self._nodes.setdefault(node, {})[entry.namespace, entry.name] = entry

    def _remember(self, event: Event) -> None:
        self._history.append(event)
        self._history_bytes += len(event.old.wire) if event.old else 0
        if self._history_bytes > min(max(self._bytes, _HISTORY_LEAST), _HISTORY_MOST):
            self.forget(self._history[len(self._history) // 2].revision)

    def forget(self, revision: int) -> None:
        """Drop history up to a revision: lists can no longer show what was before, nor watches begin where they would
        miss what is dropped.
        """
        if revision <= self.floor:
            return
        self.floor = revision
        cut = bisect_right(self._history, revision, key=lambda event: event.revision)
        if cut:
            self.horizon = self._history[cut - 1].revision
        self._history_bytes -= sum(len(e.old.wire) for e in self._history[:cut] if e.old)
        del self._history[:cut]

    def begin(self, revision: int) -> None:
        """What happened up to a revision is not known: whoever watches from before lists anew."""
        self.forget(revision)
        self.horizon = max(self.horizon, revision)

    def since(self, revision: int) -> Iterable[Event]:
        """History after a revision, which must not be below horizon."""
        return self._history[bisect_right(self._history, revision, key=lambda event: event.revision) :]

    # --- watchers ---

    def _concerned(self, event: Event) -> list[Watcher]:
        subject = event.new or event.old
        assert subject is not None
        nodes = {""}
        if self._node is not None:
            nodes |= {self._node(entry.obj) for entry in (event.old, event.new) if entry is not None}
        found: list[Watcher] = []
        for namespace in {"", subject.namespace}:
            for name in ("", subject.name):
                for node in nodes:
                    found.extend(self._watchers.get((namespace, name, node), ()))
        return found

    def attach(self, watcher: Watcher) -> None:
        self._watchers.setdefault(watcher.group, set()).add(watcher)

    def detach(self, watcher: Watcher) -> None:
        group = self._watchers.get(watcher.group)
        if group is not None:
            group.discard(watcher)
            if not group:
                del self._watchers[watcher.group]

    def watchers(self) -> list[Watcher]:
        return [watcher for group in self._watchers.values() for watcher in group]

    def subscribe(self, subscriber: Subscriber, replay: bool = True) -> None:
        """Call with every present object (replay), then with every change, on the loop, in order."""
        for obj in self._objects() if replay else ():
            subscriber(None, obj)

        def tell(event: Event) -> None:
            subscriber(event.old.obj if event.old else None, event.new.obj if event.new else None)

        self.follow(tell)

    def follow(self, follower: Follower) -> None:
        """Call with every change from now on, on the loop, in order; nothing is decoded for it."""
        self._followers.append(follower)


def _key(entry: Entry) -> str:
    return f"{entry.namespace}/{entry.name}"
