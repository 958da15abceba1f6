"""Owners of what has no type, where a map becomes something else or comes of it. Expected sets: what upstream v1.36.2
writes for custom resources that keep unknown fields.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from apimachinery.apply import track_update
from apimachinery.schema import Node
from tests.counted import calls

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
WHOLE: dict[str, Any] = {}
PARTS: dict[str, Any] = {".": {}, "f:a": {}, "f:b": {".": {}, "f:c": {}}}


def written(live: Any, value: Any, manager: str) -> Any:
    """An object whose `spec.x` has this value, as a manager writes it over the live one."""
    raw = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    obj = {"apiVersion": "a/v1", "kind": "Free", "metadata": {"name": "f"}, "spec": {"x": value}}
    entries = track_update(live, obj, manager=manager, node=Node(raw, lambda _: {}, {}), now=NOW)
    return {**obj, "metadata": {"name": "f", "managedFields": entries}}


def owned(obj: Any) -> dict[str, Any]:
    return {
        entry["manager"]: entry["fieldsV1"]["f:spec"].get("f:x") for entry in obj["metadata"].get("managedFields", [])
    }


@pytest.mark.parametrize("other", ["text", 1, True, ["a"], []])
@pytest.mark.parametrize("manager", ["one", "two"])
def test_the_parts_of_a_map_go_with_it_and_come_with_it(other: Any, manager: str) -> None:
    whole = {"a": 1, "b": {"c": 2}}
    live = written(None, whole, "one")
    assert owned(live) == {"one": PARTS}
    plain = written(live, other, manager)
    assert owned(plain)[manager] == WHOLE, "nobody owns parts of what has none"
    if manager == "two":
        assert owned(plain)["one"] is None, "the first wrote the spec alone"
    assert owned(written(plain, whole, "one"))["one"] == PARTS


def test_an_empty_map_is_one_value() -> None:
    live = written(None, {}, "one")
    assert owned(written(live, "text", "one")) == {"one": WHOLE}
    assert owned(written(written(live, "text", "one"), {}, "one")) == {"one": WHOLE}


@pytest.mark.parametrize(("value", "other"), [(1, True), ({"a": 0}, {"a": False}), ([{"a": [1]}], [{"a": [True]}])])
def test_a_truth_is_no_number(value: Any, other: Any) -> None:
    live = written(None, value, "one")
    assert owned(written(live, other, "two"))["two"] is not None
    assert owned(written(live, value, "two")).keys() == {"one"}


def test_a_whole_number_is_one_however_it_is_written() -> None:
    live = written(None, {"a": [1]}, "one")
    assert owned(written(live, {"a": [1.0]}, "two")).keys() == {"one"}


def test_what_lies_deep_is_looked_at_once() -> None:
    """Twice as deep is twice the work: a truth in the place of a number is not looked for again at every level."""

    def steps(depth: int) -> int:
        def nested(leaf: object) -> object:
            for _ in range(depth):
                leaf = {"a": leaf}
            return leaf

        live = written(None, nested(1), "one")
        assert owned(written(live, nested(True), "two"))["two"] is not None
        return calls(lambda: written(live, nested(True), "two"))

    assert steps(160) < 3 * steps(80)
