"""A local, always current copy of one collection: list once, watch for ever, tell handlers what changed.

Objects in the cache are shared: never change one, `objects.copy` it first.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from apimachinery import errors
from apimachinery.client import PAGE, Client
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, key, resource_version
from apimachinery.objects import namespace as namespace_of

log = logging.getLogger(__name__)

# (old, new): (None, new) appeared, (old, new) changed, (old, None) went.
Handler = Callable[[Obj | None, Obj | None], None]
IndexFn = Callable[[Obj], Iterable[str]]
_BY_NAMESPACE = "namespace"

# Seconds between tries while the server cannot be reached: short at first, since local servers restart
# in well under a second and everything waits for them.
RETRY_FIRST = 0.05
RETRY_MAX = 5.0
# A watch that ends sooner, with nothing told, is trouble too: a server that is stopping ends each at once.
SHORT_WATCH = 1.0


def without_managed_fields(obj: Obj) -> Obj:
    """A transform: half of an object's memory is who wrote which field, and few read it."""
    obj["metadata"].pop("managedFields", None)
    return obj


class _Index:
    """Keys of the cache by a value computed from the object."""

    def __init__(self, values: IndexFn) -> None:
        self._values = values
        self._keys: dict[str, dict[str, None]] = {}

    def replace(self, item: str, old: Obj | None, new: Obj | None) -> None:
        before = set(self._values(old)) if old is not None else set()
        after = set(self._values(new)) if new is not None else set()
        for value in before - after:
            keys = self._keys[value]
            del keys[item]
            if not keys:
                del self._keys[value]
        for value in after - before:
            self._keys.setdefault(value, {})[item] = None

    def keys(self, value: str) -> Iterable[str]:
        return self._keys.get(value, ())


class Informer:
    """Keeps the objects of `kind` (in one namespace, or all) that the selectors match.

    `transform` may drop what the owner never reads before handlers are told of an object, `keep` what nobody reads
    once they have been: it says what of the object stays in the cache. Name, namespace and resourceVersion must stay,
    and what indexes are computed from.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Callable[[Obj], Obj] | None = None,
        keep: Callable[[Obj], Obj] | None = None,
        page: int = PAGE,
        on_refused: Callable[[errors.Forbidden], None] | None = None,
    ) -> None:
        """`page`: objects asked for at a time. What many at once are made of lies about in memory long after.
        `on_refused` says in the log's place what it means that the server does not let us read them."""
        self.kind = kind
        self._transform = transform
        self._keep = keep
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._page = page
        self._on_refused = on_refused
        self._trouble = ""
        self._refused = False
        self._objects: dict[str, Obj] = {}
        self._indexes: dict[str, _Index] = {}
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._retry = RETRY_FIRST

    def add_handler(self, handler: Handler) -> None:
        """Call `handler` on every change, in order, with the cache already changed.

        Handlers are plain functions of the loop and must not block. One added late is first told of every
        object that is already there.
        """
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            self._tell(handler, None, obj)

    def add_index(self, name: str, values: IndexFn) -> None:
        """Keep an index: `values` gives the strings under which an object is found."""
        index = _Index(values)
        for item, obj in self._objects.items():
            index.replace(item, None, obj)
        self._indexes[name] = index

    def index_by_namespace(self) -> None:
        """Keep the objects by their namespaces, for `in_namespace`: one index, however many ask."""
        if _BY_NAMESPACE not in self._indexes:
            self.add_index(_BY_NAMESPACE, lambda obj: (namespace_of(obj),))

    def get(self, item: str) -> Obj | None:
        """The object with this key (`namespace/name` or `name`), or None."""
        return self._objects.get(item)

    def items(self) -> list[Obj]:
        """Every object, in no particular order."""
        return list(self._objects.values())

    @property
    def size(self) -> int:
        """How many objects there are."""
        return len(self._objects)

    def by_index(self, name: str, value: str) -> list[Obj]:
        """The objects that index `name` files under `value`."""
        return [self._objects[item] for item in self._indexes[name].keys(value)]

    def in_namespace(self, namespace: str) -> list[Obj]:
        """The objects of a namespace, where `index_by_namespace` was called."""
        return self.by_index(_BY_NAMESPACE, namespace)

    @property
    def has_synced(self) -> bool:
        """True once the first list is in the cache and its handlers have been told."""
        return self._synced.is_set()

    @property
    def is_refused(self) -> bool:
        """True since the server said that we may not read them, until it lets us."""
        return self._refused

    async def wait_synced(self) -> None:
        """Return once the first list is in the cache."""
        await self._synced.wait()

    async def run(self) -> None:
        """List and watch for ever; trouble is retried with a growing, jittered pause."""
        while True:
            try:
                if not self._version:
                    await self._list()
                began = asyncio.get_running_loop().time()
                version = self._version
                await self._watch()
                if self._version != version or asyncio.get_running_loop().time() - began > SHORT_WATCH:
                    self._retry = RETRY_FIRST
                    self._well()
                    continue
            except errors.Expired:
                log.info("%s: version %s is gone, listing again", self.kind.resource, self._version)
                self._version = ""
            except errors.Unreachable as error:
                log.info("%s: %s; waiting for the server", self.kind.resource, error)
                await self._client.reachable()
            except (errors.ApiError, ValueError) as error:
                self._say(error)
            await asyncio.sleep(self._retry * random.uniform(0.8, 1.2))
            self._retry = min(self._retry * 2, RETRY_MAX)

    def _say(self, error: Exception) -> None:
        """What is wrong is said when it begins and when it changes, not at each try."""
        if str(error) == self._trouble:
            log.debug("%s: still %s; next try in %.2g s", self.kind.resource, error, self._retry)
            return
        self._trouble, self._refused = str(error), isinstance(error, errors.Forbidden)
        if self._on_refused is not None and isinstance(error, errors.Forbidden):
            self._on_refused(error)
        else:
            log.warning("%s: %s; tried again until it is well", self.kind.resource, error)

    def _well(self) -> None:
        if self._trouble:
            log.info("%s: well again", self.kind.resource)
            self._trouble, self._refused = "", False

    async def _list(self) -> None:
        result = await self._client.list(
            self.kind,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=self._page,
            transform=self._transform,
        )
        self._well()
        fresh = {key(obj): obj for obj in result.pop("items")}
        for item in [item for item in self._objects if item not in fresh]:
            self._replace(item, None)
        for item in list(fresh):
            # What is not kept is free for what handlers make of the next ones.
            obj = fresh.pop(item)
            old = self._objects.get(item)
            if old is None or resource_version(old) != resource_version(obj):
                self._replace(item, obj)
        self._version = resource_version(result)
        self._retry = RETRY_FIRST
        self._synced.set()

    async def _watch(self) -> None:
        events = self._client.watch(
            self.kind,
            self._namespace,
            resource_version=self._version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        async for event, obj in events:
            self._version = resource_version(obj)
            self._retry = RETRY_FIRST
            self._well()
            if self._transform is not None and event != "BOOKMARK":
                obj = self._transform(obj)
            if event != "BOOKMARK":
                self._replace(key(obj), None if event == "DELETED" else obj, gone=obj)

    def _replace(self, item: str, new: Obj | None, gone: Obj | None = None) -> None:
        old = self._objects.pop(item, None)
        if new is not None:
            self._objects[item] = new
        elif old is None:
            return
        for index in self._indexes.values():
            index.replace(item, old, new)
        # A deletion's handlers get the last state, which the DELETED event carries.
        before = gone if new is None and gone is not None else old
        for handler in self._handlers:
            self._tell(handler, before, new)
        if new is not None and self._keep is not None:
            self._objects[item] = self._keep(new)

    def _tell(self, handler: Handler, old: Obj | None, new: Obj | None) -> None:
        try:
            handler(old, new)
        except Exception:
            log.exception("%s: a handler failed on %s", self.kind.resource, key(new or old or {}))
