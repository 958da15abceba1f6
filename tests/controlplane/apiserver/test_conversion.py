"""The served versions of a kind hold the same objects."""

from typing import Any

import orjson
import pytest

from controlplane.apiserver.conversion import metrics
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.strategies import autoscaling as strategy

KIND = "HorizontalPodAutoscaler"
METRICS = [
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}}},
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
]
OTHERS = [
    {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
            "metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "Value", "value": "5"},
        },
    },
    {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}}},
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 7},
        },
    },
]
BEHAVIOR = {
    "scaleDown": {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 9}]}
}


def scaler(**more: Any) -> dict[str, Any]:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": METRICS,
    }
    obj = {
        "apiVersion": "autoscaling/v2",
        "kind": KIND,
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": spec,
    }
    return {**obj, "status": {"desiredReplicas": 0, "currentMetrics": None}, **more}


def seen(obj: dict[str, Any], version: str) -> Any:
    catalog = builtin.catalog()
    kind = catalog.find(version, obj["kind"])
    assert kind is not None
    before = orjson.dumps(obj)
    found = catalog.convert(obj, kind)
    assert orjson.dumps(obj) == before
    return found


def test_autoscaling_v1_shows_cpu_and_carries_the_rest() -> None:
    shown = seen(scaler(), "autoscaling/v1")
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 60 and "metrics" not in shown["spec"]
    assert shown["status"] == {"currentReplicas": 0, "desiredReplicas": 0}
    memory = '[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"100Mi"}}]'
    assert shown["metadata"]["annotations"] == {"a": "b", "autoscaling.alpha.kubernetes.io/metrics": memory}
    assert seen(shown, "autoscaling/v2") == scaler()


def test_nothing_is_lost_by_going_through_autoscaling_v1() -> None:
    spec = {**scaler()["spec"], "metrics": [*OTHERS, METRICS[1]], "behavior": BEHAVIOR}
    condition = {
        "type": "AbleToScale",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "r",
        "message": "m",
    }
    current = [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 3, "averageValue": "4m"}}}
    ]
    status = {"currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": current, "conditions": [condition]}
    rich = scaler(spec=spec, status=status)
    through = seen(rich, "autoscaling/v1")
    assert through["status"] == {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 3}
    assert seen(through, "autoscaling/v2") == rich


def test_autoscaling_v1_without_a_target_aims_at_eighty_percent() -> None:
    obj = {"apiVersion": "autoscaling/v1", "kind": KIND, "metadata": {"name": "h"}, "spec": {"maxReplicas": 3}}
    (metric,) = seen(obj, "autoscaling/v2")["spec"]["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}


@pytest.mark.parametrize(
    ("flat", "target"),
    [
        ({"resource": {"name": "memory"}}, {"type": "AverageValue"}),
        ({"external": {"metricName": "m"}}, {"type": "AverageValue"}),
        (
            {"external": {"metricName": "m", "targetValue": "1", "targetAverageValue": "2"}},
            {"type": "Value", "value": "1", "averageValue": "2"},
        ),
        ({"pods": {"metricName": "m"}}, {"type": "AverageValue", "averageValue": "0"}),
        ({"object": {"target": {}, "metricName": "m"}}, {"type": "Value", "value": "0"}),
        (
            {"object": {"target": {}, "metricName": "m", "targetValue": "0", "averageValue": "3"}},
            {"type": "AverageValue", "averageValue": "3"},
        ),
        (
            {"object": {"target": {}, "metricName": "m", "targetValue": "4", "averageValue": "3"}},
            {"type": "AverageValue", "value": "4", "averageValue": "3"},
        ),
    ],
)
def test_what_v1_leaves_open_of_a_target(flat: dict[str, Any], target: dict[str, Any]) -> None:
    (source,) = flat
    assert metrics.from_v1({"type": source.title(), **flat})[source]["target"] == target


@pytest.mark.parametrize(
    "text",
    [
        "{[",
        "5",
        '[{"resource":{"name":{}}}]',
        '{"scaleDown":{"policies":[5]}}',
        f'{{"scaleDown":{"[" * 1000}{"]" * 1000}}}',
        f'{{"scaleDown":{{"policies":[{{"value":{"[" * 1000}{"]" * 1000}}}]}}}}',
    ],
    ids=["broken", "number", "name", "policy", "deep", "deeper"],
)
def test_annotations_that_are_no_metrics_say_nothing(text: str) -> None:
    notes = dict.fromkeys(("autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior"), text)
    obj = {"apiVersion": "autoscaling/v1", "kind": KIND, "metadata": {"name": "h", "annotations": notes}, "spec": {}}
    found = seen({**obj, "spec": {"targetCPUUtilizationPercentage": 5}}, "autoscaling/v2")
    assert len(found["spec"]["metrics"]) == 1 and "behavior" not in found["spec"]
    assert "annotations" not in found["metadata"]


def test_annotations_of_a_conversion_are_nobody_s() -> None:
    luggage = [
        *(f"autoscaling.alpha.kubernetes.io/{name}" for name in ("metrics", "current-metrics", "conditions")),
        *(f"autoscaling.alpha.kubernetes.io/{name}" for name in ("behavior", "scale-up-tolerance")),
    ]
    obj = scaler(metadata={"name": "h", "annotations": {"a": "b", **dict.fromkeys(luggage, "[]")}})
    strategy.default(obj)
    assert obj["metadata"] == {"name": "h", "annotations": {"a": "b"}}
    bare = scaler(metadata={"name": "h", "annotations": dict.fromkeys(luggage, "[]")})
    strategy.default(bare)
    assert bare["metadata"] == {"name": "h"}


def test_events_have_other_names_in_their_own_group() -> None:
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod"},
        "note": "n",
        "eventTime": None,
        "deprecatedSource": {},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    }
    core = seen(event, "v1")
    assert core["involvedObject"] == {"kind": "Pod"} and core["message"] == "n"
    assert core["source"] == {} and core["reportingComponent"] == "" and core["firstTimestamp"] is None
    assert seen(core, "events.k8s.io/v1") == event
