"""What is refused of claims for devices, of their classes and of what drivers offer."""

from typing import Any

import pytest

from controlplane.apiserver.strategies import storage as strategy
from controlplane.apiserver.validation import devices

Obj = dict[str, Any]
ONE = {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}


def claim(*requests: Obj, **more: Any) -> Obj:
    return {"spec": {"devices": {"requests": list(requests), **more}}}


@pytest.mark.parametrize(
    ("obj", "wanted"),
    [
        (claim(), []),
        (claim({"name": "a", "exactly": ONE}), []),
        (claim({"name": "A", "exactly": ONE}), ["requests[0].name"]),
        (claim({"name": "a"}), ["requests[0]"]),
        (claim({"name": "a", "exactly": ONE, "firstAvailable": [{"name": "b", **ONE}]}), ["requests[0]"]),
        (claim({"name": "a", "exactly": ONE}, {"name": "a", "exactly": ONE}), ["requests[1].name"]),
        (claim({"name": "a", "exactly": {**ONE, "count": 0}}), ["requests[0].exactly.count"]),
        (claim({"name": "a", "exactly": {**ONE, "allocationMode": "All"}}), ["requests[0].exactly.count"]),
        (claim({"name": "a", "exactly": {**ONE, "allocationMode": "Odd"}}), ["requests[0].exactly.allocationMode"]),
        (claim({"name": "a", "exactly": {**ONE, "deviceClassName": ""}}), ["requests[0].exactly.deviceClassName"]),
        (claim({"name": "a", "exactly": {**ONE, "selectors": [{}]}}), ["requests[0].exactly.selectors[0].cel"]),
        (
            claim({"name": "a", "firstAvailable": [{"name": "b", **ONE}]}, constraints=[{"requests": ["a/b", "c"]}]),
            ["constraints[0].requests[1]", "constraints[0]"],
        ),
        (claim(config=[{"opaque": {"driver": "d.e"}}]), ["config[0].opaque.parameters"]),
    ],
)
def test_claims(obj: Obj, wanted: list[str]) -> None:
    assert [error.field for error in devices.claim(obj)] == [f"spec.devices.{field}" for field in wanted]
    nested = {"spec": {"spec": obj["spec"]}}
    assert [error.field for error in devices.template(nested)] == [f"spec.spec.devices.{field}" for field in wanted]


def test_claims_ask_once() -> None:
    (found,) = devices.spec_change(claim({"name": "a"}), claim())
    assert found.field == "spec" and found.text.endswith("field is immutable")


def test_classes() -> None:
    assert [e.field for e in devices.device_class({"spec": {"config": [{}]}})] == ["spec.config[0].opaque"]


def offer(**spec: Any) -> Obj:
    pool = {"name": "p", "resourceSliceCount": 1, "generation": 1}
    return {"spec": {"driver": "d.e", "pool": pool, "nodeName": "n", **spec}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"allNodes": True}, ["spec"]),
        ({"nodeName": None}, ["spec"]),
        ({"driver": "x" * 64}, ["spec.driver"]),
        (
            {"pool": {"name": "a//b", "generation": -1}},
            ["spec.pool.name", "spec.pool.resourceSliceCount", "spec.pool.generation"],
        ),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, ["spec.devices[1].name"]),
    ],
)
def test_slices(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in devices.resource_slice(offer(**spec))] == wanted


def test_counters_that_devices_share_have_names_and_values() -> None:
    shared = [{"name": "a", "counters": {"c": {"value": "1"}}}, {"name": "A_"}, {"counters": {}}]
    found = [error.field for error in devices.resource_slice(offer(sharedCounters=shared))]
    paths = ("[1].name", "[1].counters", "[2].name", "[2].counters")
    assert found == [f"spec.sharedCounters{path}" for path in paths]


def test_a_slice_stays_where_it_is() -> None:
    assert [e.field for e in devices.resource_slice_change(offer(nodeName="m"), offer())] == ["spec.nodeName"]


def test_a_driver_counts_its_changes_from_nothing() -> None:
    old: Obj = {"metadata": {}, "spec": {"podInfoOnMount": False}}
    same: Obj = {"metadata": {}, "spec": {"podInfoOnMount": False}}
    new: Obj = {"metadata": {}, "spec": {"podInfoOnMount": True}}
    strategy.driver_changed(same, old)
    strategy.driver_changed(new, old)
    assert same["metadata"] == {} and new["metadata"] == {"generation": 1}
