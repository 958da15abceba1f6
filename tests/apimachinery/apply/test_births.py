"""What is worked out once for all copies of an object is what each of them would be told alone."""

from __future__ import annotations

import datetime
import itertools
import sys
from types import FrameType
from typing import Any

import pytest

from apimachinery import apply
from apimachinery.apply import births
from apimachinery.apply.births import owned_at_birth
from apimachinery.apply.fieldset import to_json
from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture
def node() -> Node:
    found = Schema.load().node("v1", "Pod")
    assert found is not None
    return found


def pod(name: str, container: str = "c", **meta: Any) -> Obj:
    own = {"name": name, "namespace": "n", "uid": f"u-{name}", "creationTimestamp": "2026-01-01T00:00:00Z", **meta}
    spec = {"containers": [{"name": container, "image": "i"}], "nodeSelector": {"a": "b"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": spec, "status": {"phase": "Pending"}}


def fields(node: Node, obj: Obj, **more: Any) -> Any:
    (entry,) = apply.track_update(None, obj, manager="m", node=node, now=NOW, **more)
    return entry["fieldsV1"]


def test_copies_are_told_the_same_and_what_differs_is_told_apart(node: Node) -> None:
    first = fields(node, pod("a"))
    assert fields(node, pod("b")) is first
    assert first["f:spec"]["f:containers"] == {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}}
    assert first.keys() == {"f:spec", "f:status"}
    assert 'k:{"name":"d"}' in fields(node, pod("c", container="d"))["f:spec"]["f:containers"]
    assert fields(node, pod("d"), ignored=(("status",),)).keys() == {"f:spec"}
    assert fields(node, pod("e", labels={"x": "y"}, generateName="e"))["f:metadata"] == {
        "f:generateName": {},
        "f:labels": {".": {}, "f:x": {}},
    }
    assert fields(node, pod("f")) == first


def test_few_are_remembered_and_no_large_ones(node: Node) -> None:
    for number in range(births.REMEMBERED + 10):
        owned_at_birth(node, pod("a", container=f"c{number}"), "v1")
    assert len(births._known) == births.REMEMBERED
    large = pod("a", annotations={"a": "x" * births.LARGEST})
    assert owned_at_birth(node, large, "v1") is not owned_at_birth(node, large, "v1")


def test_another_thread_may_remember_something_meanwhile(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(births, "_known", type(births._known)())
    made = [owned_at_birth(node, pod("a", container=f"c{number}"), "v1") for number in range(births.REMEMBERED)]
    others = itertools.count()

    def meanwhile(frame: FrameType, *_: Any) -> None:
        if frame.f_code is owned_at_birth.__code__:
            births._known[node, (), b"%d" % next(others)] = made[0]

    sys.setprofile(meanwhile)
    try:
        owned_at_birth(node, pod("a", container="last"), "v1")
    finally:
        sys.setprofile(None)
    assert next(others) > 0


def test_what_was_stored_is_written_back_as_it_was_and_what_clients_bring_in_the_one_order(node: Node) -> None:
    stored = pod("a")
    stored["metadata"]["managedFields"] = apply.track_update(None, stored, manager="m", node=node, now=NOW)
    (own,) = stored["metadata"]["managedFields"]
    later = {**stored, "status": {"phase": "Pending", "podIP": "10.0.0.1"}}
    told, kept = apply.track_update(stored, later, manager="agent", node=node, now=NOW, subresource="status")
    assert told["fieldsV1"] == {"f:status": {"f:podIP": {}}} and kept["fieldsV1"] is own["fieldsV1"]
    later = {**stored, "status": {"phase": "Running"}}
    _, kept = apply.track_update(stored, later, manager="agent", node=node, now=NOW, subresource="status")
    assert kept["fieldsV1"] == {"f:spec": own["fieldsV1"]["f:spec"]}
    again = {**stored, "metadata": {**stored["metadata"], "labels": {"x": "y"}}}
    unsorted: Obj = {"f:status": {"f:phase": {}}, "f:spec": {"f:nodeSelector": {}, "f:containers": {}}}
    again["metadata"]["managedFields"] = [{**own, "fieldsV1": unsorted}]
    first, _ = apply.track_update(stored, again, manager="other", node=node, now=NOW)
    assert list(first["fieldsV1"]) == ["f:spec", "f:status"] and list(first["fieldsV1"]["f:spec"]) == [
        "f:containers",
        "f:nodeSelector",
    ]
    assert first["fieldsV1"] == to_json(first["fieldsV1"])
