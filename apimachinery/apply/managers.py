"""The entries of `managedFields`: reading them, writing them in their order, and keeping their number bounded."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from apimachinery.apply.fieldset import Fields, from_json, to_json, union
from apimachinery.timestamps import format_time, parse_time

__all__ = ["APPLY", "UPDATE", "Key", "Managed", "Managers", "bounded", "decode", "encode", "is_reset"]

APPLY, UPDATE = "Apply", "Update"
# How many entries of updaters an object keeps; older ones are merged under this name.
MAX_UPDATERS = 10
ANCIENT = "ancient-changes"
# Sets of fields that stay at hand, of so many bytes of FieldsV1 at most: some megabytes when all are the largest.
_REMEMBERED, _LARGEST = 256, 4096


@dataclass(frozen=True, order=True)
class Key:
    """Who, and how: appliers are the same whatever version they speak (api_version is ""), updaters are not."""

    manager: str
    operation: str
    api_version: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Managed:
    """What a manager owns, the version its paths belong to, and when it last changed something.

    `written`: the fields as FieldsV1, where that is known.
    """

    fields: Fields
    api_version: str
    time: str | None = None
    written: dict[str, Any] | None = field(default=None, compare=False)


Managers = dict[Key, Managed]


def decode(entries: Sequence[dict[str, Any]] | None, *, stored: bool = False) -> Managers:
    """The managers of an object; raises ValueError when an entry cannot be read. `stored`: `encode` wrote the entries,
    so that what stays the same need not be written anew.
    """
    found: Managers = {}
    for entry in entries or ():
        operation = entry.get("operation", "")
        if operation not in (APPLY, UPDATE):
            raise ValueError(f"invalid operation {operation!r}")
        if entry.get("fieldsType", "") != "FieldsV1":
            raise ValueError(f"unsupported fieldsType {entry.get('fieldsType', '')!r}")
        version = entry.get("apiVersion", "")
        if not version:
            raise ValueError("no apiVersion")
        key = Key(
            entry.get("manager", ""),
            operation,
            "" if operation == APPLY else version,
            entry.get("subresource", ""),
        )
        written = entry.get("fieldsV1") or {}
        fields = _fields(written)
        # An entry repeated for one manager is one entry.
        if key in found:
            found[key] = Managed(union(found[key].fields, fields), version, entry.get("time"))
        else:
            found[key] = Managed(fields, version, entry.get("time"), written if stored else None)
    return found


def _fields(written: dict[str, Any]) -> Fields:
    """from_json, remembered for small sets: writers of many objects own the same fields of each, write after write."""
    text = orjson.dumps(written)
    return _remembered(text) if len(text) <= _LARGEST else from_json(written)


@lru_cache(maxsize=_REMEMBERED)
def _remembered(text: bytes) -> Fields:
    return from_json(orjson.loads(text))


def is_reset(entries: Sequence[dict[str, Any]] | None) -> bool:
    """An empty list, or a single empty entry, is how a client asks to forget every owner; no list says nothing."""
    return entries is not None and (not entries or (len(entries) == 1 and not any(entries[0].values())))


def encode(managers: Managers) -> list[dict[str, Any]]:
    """The entries: appliers before updaters, then by time, name, version and subresource."""
    ranked = sorted(
        managers.items(),
        key=lambda pair: (
            pair[0].operation,
            _seconds(pair[1].time),
            pair[0].manager,
            pair[1].api_version,
            pair[0].subresource,
        ),
    )
    return [_entry(key, managed) for key, managed in ranked]


def _entry(key: Key, managed: Managed) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "manager": key.manager,
        "operation": key.operation,
        "apiVersion": managed.api_version,
        "time": managed.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_json(managed.fields) if managed.written is None else managed.written,
        "subresource": key.subresource,
    }
    return {name: value for name, value in entry.items() if value or name == "fieldsV1"}


@lru_cache(maxsize=1024)
def _seconds(time: str | None) -> float:
    if not time:
        return 0
    try:
        return parse_time(time).timestamp()
    except ValueError:
        return 0


def stamped(managed: Managed, now: datetime.datetime) -> Managed:
    return Managed(managed.fields, managed.api_version, format_time(now), managed.written)


def bounded(managers: Managers) -> Managers:
    """At most MAX_UPDATERS updaters: the oldest of one version are merged into one nameless past."""
    updaters = [key for key in managers if key.operation == UPDATE]
    left = len(updaters)
    if left <= MAX_UPDATERS:
        return managers
    updaters.sort(key=lambda key: (_seconds(managers[key].time), key))
    result = dict(managers)
    first_of: dict[str, Key] = {}
    for key in updaters:
        if left <= MAX_UPDATERS:
            break
        managed = managers[key]
        bucket = Key(ANCIENT, UPDATE, managed.api_version)
        first = first_of.setdefault(managed.api_version, key)
        if first is key:
            continue
        if bucket not in result:
            result[bucket] = result.pop(first)
        merged = union(managed.fields, result[bucket].fields)
        if key != bucket:
            del result[key]
        result[bucket] = Managed(merged, managed.api_version, managed.time)
        left -= 1
    return result
