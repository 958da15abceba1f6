"""One served or stored version of a definition: how its objects are read, shown, kept and checked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from apimachinery import errors, formats, jsontext
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import Entry, encode
from controlplane.apiserver.catalog.custom import ScalePaths
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy, Warn
from controlplane.apiserver.custom.conversion import Converter, relabelled
from controlplane.apiserver.offloop import off_loop, on_loop
from controlplane.apiserver.registry.size import LIMIT
from controlplane.apiserver.rules.metadata import STANDARD_FINALIZERS
from controlplane.apiserver.structural.custom import CustomSchema, Malformed

log = logging.getLogger(__name__)

_ENDING = "create not allowed while custom resource definition is terminating"
# How long objects of a list may be looked at before others have their turn.
_TURN_SECONDS = 0.005
# Bytes of stored objects that are converted at once.
_PORTION = 1 << 20


class Version:
    """catalog.custom.Custom for one version; made anew whenever its definition changes."""

    def __init__(
        self,
        api_version: str,
        stored_version: str,
        schemas: Mapping[str, CustomSchema],
        converter: Converter,
        since: int,
        rank: tuple[object, ...],
        scale: ScalePaths | None = None,
    ) -> None:
        """stored_version: the apiVersion that objects are written in. schemas: of all versions, by apiVersion. since:
        the revision from which on objects are written by these schemas.
        """
        self.api_version = api_version
        self._stored_version = stored_version
        self._schemas = schemas
        self._converter = converter
        self._since = since
        self.rank = rank
        self.scale = scale

    @property
    def schema(self) -> CustomSchema:
        """Its own."""
        return self._schemas[self.api_version]

    def read(self, obj: Obj) -> Sequence[str]:
        return self.schema.accept(obj)

    def converted(self, obj: Obj) -> Obj:
        if not self._converter.alone:
            raise LookupError(f"a webhook says how {self.api_version} looks")
        return relabelled(obj, self.api_version)

    async def brought(self, obj: Obj) -> Obj:
        (found,) = await self._converter.convert([obj], self.api_version)
        return found

    def ready(self, entry: Entry) -> bool:
        return entry.revision > self._since and entry.api_version == self.api_version

    async def shown(self, entries: Sequence[Entry]) -> list[Entry]:
        stale = [entry for entry in entries if not self.ready(entry)]
        if not stale:
            return list(entries)
        made: list[Entry] = []
        turns = _Turns()
        for portion in _portions(stale):
            objects: list[Obj] = []
            for entry in portion:
                schema = self._schemas.get(entry.api_version, self.schema)
                objects.append(await off_loop(len(entry.wire) * schema.weight, self._as_stored, entry))
                await turns.pause()
            await self._convert(objects)
            for entry, obj in zip(portion, objects, strict=True):
                made.append(await off_loop(len(entry.wire), self._entry, entry, obj))
                await turns.pause()
        rest = iter(made)
        return [entry if self.ready(entry) else next(rest) for entry in entries]

    def _as_stored(self, entry: Entry) -> Obj:
        """What lies in the store, as the schema of its version has it today."""
        obj = entry.copy()
        if (schema := self._schemas.get(obj["apiVersion"])) is not None:
            schema.accept(obj, stored=True)
            if not schema.fill(obj, LIMIT):
                # It can be read and deleted all the same, and made smaller.
                log.warning(
                    "%s/%s of %s is shown without all of its defaults, which come to more than %d bytes",
                    entry.namespace,
                    entry.name,
                    self.api_version,
                    LIMIT,
                )
        return obj

    def _fill(self, obj: Obj) -> None:
        """Set defaults of what is written. Raises RequestTooLarge where they alone are more than can be stored; what is
        on its way out is written to the end.
        """
        if not self.schema.fill(obj, LIMIT) and "deletionTimestamp" not in obj["metadata"]:
            raise errors.RequestTooLarge(f"Request entity too large: with its defaults it is over the limit of {LIMIT}")

    async def _convert(self, objects: list[Obj]) -> None:
        """Put those of this version in the places of others."""
        places = [place for place, obj in enumerate(objects) if obj["apiVersion"] != self.api_version]
        if not places:
            return
        found = await self._converter.convert([objects[place] for place in places], self.api_version)
        for place, obj in zip(places, found, strict=True):
            _accept(self.schema, obj, stored=True)
            objects[place] = obj

    def _entry(self, entry: Entry, obj: Obj) -> Entry:
        return Entry(entry.head, entry.namespace, entry.name, entry.revision, encode(obj, versioned=True))

    async def stored(self, obj: Obj) -> Obj:
        if self.api_version == self._stored_version:
            return obj
        (found,) = await self._converter.convert([jsontext.copied(obj)], self._stored_version)
        _accept(self._schemas[self._stored_version], found)
        return found

    def strategy(self, split: bool, ending: bool, scale: Obj | None) -> Strategy:
        """The life of its objects. split: the status is a subresource; ending: the definition is; scale: as the version
        has it.
        """

        def check(new: Obj, old: Obj | None, subresource: str, found: list[FieldError], warn: Warn) -> list[FieldError]:
            status = subresource == "status"
            return self.schema.check(new, old, found=found, scale=scale, status=status, warn=warn, at_once=on_loop())

        return Strategy(
            check=check,
            default=self._fill,
            weight=self.schema.weight,
            settle=_as_it_is,
            closed=_ENDING if ending else "",
            generation=True,
            counts_status=not split,
            names_version=True,
            plain_metadata=True,
            metadata_checks=("plain change",),
            status_metadata_checks=("plain change",),
            status_keeps=OWN_METADATA,
            warn=finalizer_warnings,
        )


class _Turns:
    """Lets others have their turn now and then."""

    def __init__(self) -> None:
        self._end = time.monotonic() + _TURN_SECONDS

    async def pause(self) -> None:
        if time.monotonic() > self._end:
            await asyncio.sleep(0)
            self._end = time.monotonic() + _TURN_SECONDS


def _portions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """As many at a time as a webhook's question and answer may hold up the others for."""
    portion: list[Entry] = []
    size = 0
    for entry in entries:
        if portion and size + len(entry.wire) > _PORTION:
            yield portion
            portion, size = [], 0
        portion.append(entry)
        size += len(entry.wire)
    yield portion


def _accept(schema: CustomSchema, obj: Obj, stored: bool = False) -> None:
    """What a conversion has made, as its schema lets it in. Raises ApiError."""
    try:
        schema.accept(obj, stored)
    except Malformed as error:
        raise errors.ApiError(str(error)) from error


def _as_it_is(obj: Obj) -> None:
    return None


def finalizer_warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    """Of finalizers that are new and may be somebody else's, too."""
    before = set((old or {"metadata": {}})["metadata"].get("finalizers") or ())
    for name in sorted(set(new["metadata"].get("finalizers") or ()) - before):
        for text in formats.qualified_name(name):
            yield f'metadata.finalizers: "{name}": {text}'
        if "/" in name or name in STANDARD_FINALIZERS:
            continue
        better = " including a path (/)" if "." in name else ""
        yield (
            f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name{better} to avoid accidental '
            "conflicts with other finalizer writers"
        )
