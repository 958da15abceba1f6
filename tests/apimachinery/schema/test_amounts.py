"""Amounts that are the same however they are written."""

from typing import Any

from apimachinery.objects import copy
from apimachinery.schema import Schema, as_before

SCHEMA = Schema.load()


def seen(kind: str, new: dict[str, Any], old: dict[str, Any], version: str = "v1") -> dict[str, Any]:
    node = SCHEMA.node(version, kind)
    assert node is not None
    given = copy(new)
    found: dict[str, Any] = as_before(node, new, old)
    assert new == given, "what was given is never changed"
    return found


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def test_an_amount_that_is_the_same_stands_there_as_it_stood() -> None:
    old = pod({"name": "c", "resources": {"requests": {"memory": "1Gi", "cpu": "1"}}}, overhead={"cpu": "1k"})
    new = pod({"name": "c", "resources": {"requests": {"memory": "1073741824", "cpu": "1"}}}, overhead={"cpu": "1e3"})
    assert seen("Pod", new, old) == old


def test_an_amount_that_is_another_and_a_text_that_looks_like_one_stay() -> None:
    old = pod({"name": "c", "image": "1Gi", "resources": {"limits": {"memory": "1Gi"}}}, nodeName="1k")
    new = pod({"name": "c", "image": "1073741824", "resources": {"limits": {"memory": "1G"}}}, nodeName="1e3")
    assert seen("Pod", new, old) is new


def test_what_comes_and_goes_stays_so() -> None:
    old = pod({"name": "c", "resources": {"limits": {"memory": "1Gi", "cpu": "2"}}}, overhead={"cpu": "1"})
    new = pod({"name": "c", "resources": {"limits": {"memory": "1073741824"}}}, {"name": "d", "resources": {}})
    wanted = pod({"name": "c", "resources": {"limits": {"memory": "1Gi"}}}, {"name": "d", "resources": {}})
    assert seen("Pod", new, old) == wanted


def test_types_without_amounts_are_not_walked() -> None:
    old, new = {"data": {"a": "1Gi"}}, {"data": {"a": "1073741824"}}
    assert seen("ConfigMap", new, old) is new
