"""One object as it goes over the wire, decoded only when somebody has to look inside.

Layout of the bytes, so that a new revision and a list item need no re-encoding:

    {"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"17", ...stored metadata...}, ...}
    ^ head ------------------------^ a list joins what follows head with ",{"

What may lie in the store in several versions (custom resources) says its own, before its metadata, and is whole in a
list, too:

    {"apiVersion":"example.com/v1","kind":"Boat","metadata":{"resourceVersion":"17", ...
"""

from __future__ import annotations

import sys
from collections import deque
from functools import cache
from threading import Lock

import orjson

from apimachinery.jsontext import LARGE, reread, spelled_as_go
from apimachinery.kinds import Kind
from apimachinery.objects import Obj

_OPEN = b'{"metadata":{'
_VERSIONED = b'{"apiVersion":'
# How upstream's metadata begins.
_FIRST = ("name", "generateName", "namespace", "uid", "generation", "creationTimestamp")
# Decoded objects cost five times their bytes: only the most recently decoded stay decoded.
_KEEP_DECODED, _KEEP_DECODED_BYTES = 512, 16 << 20


def encode(obj: Obj, versioned: bool = False) -> bytes:
    """The stored form: metadata first, without kind and resourceVersion, and without apiVersion unless it is versioned.

    Spelled as upstream spells it, for some compare an answer's bytes: a ControllerRevision's data above all.
    """
    given = obj["metadata"]
    metadata = {k: given[k] for k in _FIRST if k in given}
    metadata.update((k, v) for k, v in given.items() if k != "resourceVersion")
    rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion", "metadata")}
    own = {"apiVersion": obj["apiVersion"]} if versioned else {}
    return spelled_as_go(orjson.dumps({**own, "metadata": metadata, **rest}))


@cache
def head_of(kind: Kind) -> bytes:
    """The opening of every object of a kind."""
    return b'{"kind":"%s","apiVersion":"%s",' % (kind.kind.encode(), kind.api_version.encode())


@cache
def kind_of(head: bytes) -> bytes:
    """What an opening says of the kind: `"kind":"Boat",`."""
    member = b'"kind":"'
    begun = head.index(member)
    return head[begun : head.index(b'",', begun) + 2]


class Entry:
    """An object at a revision. Immutable; obj is shared and must not be changed (copy() is private)."""

    __slots__ = ("_labels", "_obj", "head", "name", "namespace", "revision", "wire")

    def __init__(self, head: bytes, namespace: str, name: str, revision: int, body: bytes) -> None:
        self.namespace = sys.intern(namespace)
        self.name = name
        self.revision = revision
        skip = len(_OPEN)
        if body.startswith(_VERSIONED):
            begun = body.index(b',"metadata":{') + 1
            head = body[:begun] + kind_of(head)
            skip = begun + len(_OPEN) - 1
        self.head = head
        # A dry run's object has no revision to show.
        version = b'"resourceVersion":"%d",' % revision if revision else b""
        self.wire = b'%s"metadata":{%s%s' % (head, version, body[skip:])
        self._obj: Obj | None = None
        self._labels: dict[str, str] | None = None

    @property
    def tail(self) -> bytes:
        """The object without its opening brace, kind and apiVersion: what a list item is made of."""
        return self.wire[len(self.head) :]

    @property
    def body(self) -> bytes:
        """The stored form."""
        version = len(b'"resourceVersion":"",') + len(str(self.revision)) if self.revision else 0
        own = self.head[: self.head.index(b",") + 1] + _OPEN[1:] if self.versioned else _OPEN
        return own + self.wire[len(self.head) + len(b'"metadata":{') + version :]

    @property
    def versioned(self) -> bool:
        """Whether it says its version itself, and is whole in a list."""
        return self.head.startswith(_VERSIONED)

    @property
    def api_version(self) -> str:
        """The version that it lies in the store in."""
        return self.head.partition(b'"apiVersion":"')[2].partition(b'"')[0].decode()

    @property
    def obj(self) -> Obj:
        # Another thread may let go of it at any time.
        found = self._obj
        if found is None:
            found = self._obj = orjson.loads(self.wire)
            _decoded.keep(self)
        return found

    def glance(self) -> Obj:
        """obj for one look at each of many: it is not kept at hand, so that its memory serves the next one."""
        found = self._obj
        if found is None:
            found = orjson.loads(self.wire)
        return found

    def read_beside_others(self) -> None:
        """Have obj at hand; of a large object this is for a thread, which it holds up but nobody else."""
        if self._obj is None and len(self.wire) >= LARGE:
            self._obj = reread(self.wire)
            _decoded.keep(self)

    @property
    def labels(self) -> dict[str, str]:
        if self._labels is None:
            self._labels = self.obj["metadata"].get("labels") or {}
        return self._labels

    def copy(self) -> Obj:
        """A private copy of the object."""
        found: Obj = reread(self.wire)
        return found

    def at(self, revision: int) -> Entry:
        """The same content under another revision: what a deletion shows."""
        return Entry(self.head, self.namespace, self.name, revision, self.body)


class _Decoded:
    """The entries whose objects are at hand, the oldest first; for any thread."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._lock = Lock()

    def keep(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)
            self._bytes += len(entry.wire)
            while len(self._entries) > _KEEP_DECODED or (self._bytes > _KEEP_DECODED_BYTES and len(self._entries) > 1):
                oldest = self._entries.popleft()
                oldest._obj = None
                self._bytes -= len(oldest.wire)


_decoded = _Decoded()
