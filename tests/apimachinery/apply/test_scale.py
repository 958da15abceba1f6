import datetime
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.apply import apply, to_parent, to_scale, track_update
from apimachinery.schema import Node, Schema

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def node(api_version: str, kind: str) -> Node:
    found = Schema.load().node(api_version, kind)
    assert found is not None
    return found


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def put(live: Any, manager: str, **spec: Any) -> Any:
    return apply(live, deployment(**spec), manager=manager, node=node("apps/v1", "Deployment"), now=NOW)


def scale(live: Any, replicas: int) -> dict[str, Any]:
    metadata = {"name": "d", "managedFields": to_scale(live["metadata"]["managedFields"])}
    spec = {"replicas": replicas}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec}


def scaled(live: Any, replicas: int, manager: str) -> Any:
    old = scale(live, live["spec"]["replicas"])
    new = scale(live, replicas)
    kind = node("autoscaling/v1", "Scale")
    entries = track_update(old, new, manager=manager, node=kind, now=NOW, subresource="scale")
    metadata = {"name": "d", "managedFields": to_parent(live["metadata"]["managedFields"], entries, "apps/v1")}
    return {**live, "metadata": metadata, "spec": {**live["spec"], "replicas": replicas}}


def owners(obj: Any) -> dict[tuple[str, str, str], Any]:
    return {
        (e["manager"], e["apiVersion"], e.get("subresource", "")): e["fieldsV1"]
        for e in obj["metadata"]["managedFields"]
    }


def test_scaling_takes_replicas_and_nothing_else() -> None:
    live = put(None, "alpha", replicas=1, paused=True)
    after = scaled(live, 5, "hpa")
    assert owners(after) == {
        ("alpha", "apps/v1", ""): {"f:spec": {"f:paused": {}}},
        ("hpa", "apps/v1", "scale"): {"f:spec": {"f:replicas": {}}},
    }
    with pytest.raises(errors.Conflict) as raised:
        put(after, "alpha", replicas=1, paused=True)
    assert raised.value.message == (
        'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas'
    )


def test_the_same_number_takes_nothing() -> None:
    live = put(None, "alpha", replicas=1)
    assert owners(scaled(live, 1, "hpa")) == owners(live)


def test_scaling_again_keeps_one_owner() -> None:
    once = scaled(put(None, "alpha", replicas=1), 5, "hpa")
    assert owners(scaled(once, 6, "hpa")) == {("hpa", "apps/v1", "scale"): {"f:spec": {"f:replicas": {}}}}


def test_who_does_not_own_replicas_is_not_seen() -> None:
    live = put(put(None, "alpha", replicas=1), "beta", paused=True)
    assert [entry["manager"] for entry in to_scale(live["metadata"]["managedFields"])] == ["alpha"]
