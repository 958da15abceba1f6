"""Objects whose schema makes much of little."""

from __future__ import annotations

import asyncio

import pytest

from apimachinery import errors
from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import Entry, encode, head_of
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.custom.conversion import ByName
from controlplane.apiserver.custom.naming import judged
from controlplane.apiserver.custom.rows import parts, rows
from controlplane.apiserver.registry.size import LIMIT
from tests.controlplane.apiserver.custom.definitions import boat, definition, of_type, version

NOW = "2026-01-02T03:04:05Z"


def _crowded(count: int) -> tuple[Resource, Obj]:
    """The row of boats whose rooms have a default of a kilobyte each, and one with so many rooms."""
    room = {"type": "object", "properties": {"a": {"type": "string", "default": "x" * 1024}}}
    schema = of_type({"spec": of_type({"rooms": {"type": "array", "items": room}})})
    given = definition(version(schema={"openAPIV3Schema": schema}))
    given = {**given, "status": judged(given, (), NOW)}
    given["metadata"]["resourceVersion"] = "7"
    (row,) = rows(given, parts(given), lambda _: ByName())
    return row, boat("a", rooms=[{} for _ in range(count)])


def test_an_object_with_more_defaults_than_can_be_stored_is_refused() -> None:
    row, good = _crowded(1000)
    row.strategy.default(good)
    assert len(good["spec"]["rooms"][-1]["a"]) == 1024
    row, obj = _crowded(3000)
    with pytest.raises(errors.RequestTooLarge):
        row.strategy.default(obj)
    assert row.strategy.weight > 10, "what is small before them is large work"
    # One that goes can be written to its end.
    row, obj = _crowded(3000)
    obj["metadata"]["deletionTimestamp"] = NOW
    row.strategy.default(obj)


def test_a_stored_object_is_shown_with_as_many_defaults_as_could_be_stored() -> None:
    row, obj = _crowded(3000)
    entry = Entry(head_of(row.kind), "default", "a", 1, encode(obj, True))
    assert row.custom is not None
    (shown,) = asyncio.run(row.custom.shown([entry]))
    assert LIMIT < len(shown.body) + 30_000 < LIMIT + 60_000
    assert len(shown.obj["spec"]["rooms"]) == 3000
