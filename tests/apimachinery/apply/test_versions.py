"""Owners who spoke another version of a kind keep and lose what they own by what changed in that version."""

import datetime
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.apply import apply, track_update
from apimachinery.schema import Node, Schema

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
V1, V2 = "autoscaling/v1", "autoscaling/v2"
KIND = "HorizontalPodAutoscaler"


class Versions:
    """Two versions of an autoscaler that differ in how they name the CPU to aim at."""

    def node(self, api_version: str) -> Node | None:
        return Schema.load().node(api_version, KIND) if api_version in (V1, V2) else None

    def convert(self, obj: Any, api_version: str) -> Any:
        if api_version not in (V1, V2):
            return None
        spec = {key: value for key, value in obj.get("spec", {}).items() if key == "maxReplicas"}
        if api_version == V1:
            share = [one["resource"]["target"]["averageUtilization"] for one in metrics(obj)]
            return {
                **obj,
                "apiVersion": V1,
                "spec": {**spec, **({"targetCPUUtilizationPercentage": share[0]} if share else {})},
            }
        return {**obj, "apiVersion": V2, "spec": {**spec, **({"metrics": metrics(obj)} if metrics(obj) else {})}}


def metrics(obj: Any) -> list[Any]:
    spec = obj.get("spec", {})
    share = spec.get("targetCPUUtilizationPercentage")
    if share is None:
        found: list[Any] = spec.get("metrics", [])
        return found
    target = {"type": "Utilization", "averageUtilization": share}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def scaler(version: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": KIND, "metadata": {"name": "h"}, "spec": spec}


def put(live: Any, applied: Any, manager: str, force: bool = False) -> Any:
    version = applied["apiVersion"]
    node = Schema.load().node(version, KIND)
    assert node is not None
    seen = Versions().convert(live, version) if live else None
    return apply(seen, applied, manager=manager, node=node, now=NOW, force=force, versions=Versions())


def owners(obj: Any) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_a_conflict_is_told_in_the_version_that_the_owner_spoke() -> None:
    made = put(None, scaler(V1, maxReplicas=5, targetCPUUtilizationPercentage=50), "alpha")
    with pytest.raises(errors.Conflict, match=r'conflict with "alpha": .spec.targetCPUUtilizationPercentage'):
        put(made, scaler(V2, metrics=metrics(scaler(V1, targetCPUUtilizationPercentage=60))), "beta")
    taken = put(made, scaler(V2, metrics=metrics(scaler(V1, targetCPUUtilizationPercentage=60))), "beta", force=True)
    assert owners(taken) == {"alpha": {"f:spec": {"f:maxReplicas": {}}}, "beta": {"f:spec": {"f:metrics": {}}}}


def test_what_was_applied_in_one_version_is_given_up_in_another() -> None:
    made = put(None, scaler(V1, maxReplicas=5, targetCPUUtilizationPercentage=50), "alpha")
    left = put(made, scaler(V2, maxReplicas=5), "alpha")
    assert left["spec"] == {"maxReplicas": 5}
    assert owners(left) == {"alpha": {"f:spec": {"f:maxReplicas": {}}}}


def test_owners_of_a_version_that_is_no_more_are_forgotten() -> None:
    made = put(None, scaler(V1, maxReplicas=5), "alpha")
    made["metadata"]["uid"] = "u"
    made["metadata"]["managedFields"][0]["apiVersion"] = "autoscaling/v0"
    new = scaler(V1, maxReplicas=6)
    node = Schema.load().node(V1, KIND)
    assert node is not None
    found = track_update(made, new, manager="beta", node=node, now=NOW, versions=Versions())
    assert [entry["manager"] for entry in found] == ["beta"]
