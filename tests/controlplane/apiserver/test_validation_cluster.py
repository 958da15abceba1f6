"""What is refused of nodes, namespaces, quotas, classes, budgets, autoscalers and events."""

from typing import Any

import pytest

from controlplane.apiserver.strategies import cluster as strategy
from controlplane.apiserver.validation import autoscaling, core, nodes, policy, quotas

Obj = dict[str, Any]


def texts(found: Any) -> list[str]:
    return [str(error) for error in found]


# --- namespaces and events ---


def test_a_namespaces_finalizers_and_pod_security() -> None:
    labels = {"pod-security.kubernetes.io/warn": "strict", "pod-security.kubernetes.io/audit-version": "v1.01"}
    found = core.namespace({"metadata": {"labels": labels}, "spec": {"finalizers": ["mine", "a.b/c", "kubernetes"]}})
    assert texts(found) == [
        'spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
        'metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted",
        'metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "v1.01": must be "latest" or "v1.x"',
    ]


def event(namespace: str = "ns", **fields: Any) -> Obj:
    return {"metadata": {"name": "e", "namespace": namespace}, "involvedObject": {"namespace": "ns"}, **fields}


NEW = {
    "eventTime": "2020-01-01T00:00:00.000000Z",
    "reportingComponent": "a.b/c",
    "reportingInstance": "i",
    "action": "a",
    "reason": "r",
    "type": "Normal",
}


@pytest.mark.parametrize(
    ("obj", "wanted"),
    [
        (event(), []),
        (event("other"), ["involvedObject.namespace"]),
        (event("default", involvedObject={}), []),
        (event("kube-system", involvedObject={}), ["involvedObject.namespace"]),
        (event("kube-system", **{**NEW, "involvedObject": {}}), []),
        (event(**NEW), []),
        (
            event(**{**NEW, "reportingComponent": "", "action": "x" * 129}),
            ["reportingComponent", "reportingComponent", "reportingComponent", "action"],
        ),
        (event(**{**NEW, "message": "x" * 1025}), ["message"]),
    ],
)
def test_events(obj: Obj, wanted: list[str]) -> None:
    assert [error.field for error in core.event(obj)] == wanted


def test_the_newer_events_have_a_time_and_a_type_and_nothing_of_old() -> None:
    assert core.event_as(event(**NEW), "events.k8s.io/v1") == []
    found = core.event_as(event(count=1, source={"host": "h"}, type="Odd"), "events.k8s.io/v1")
    assert texts(found) == [
        "eventTime: Required value",
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
        'source: Invalid value: "": needs to be unset',
    ]


# --- nodes ---


def node(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "n"}, "spec": spec, "status": status or {}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"podCIDRs": ["10.0.0.0/24", "2001:db8::/64"]}, []),
        ({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}, ["spec.podCIDRs"]),
        ({"podCIDRs": ["x"]}, ["spec.podCIDRs[0]"]),
        ({"taints": [{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoSchedule"}]}, ["spec.taints[1]"]),
        (
            {"taints": [{"key": "", "value": "-", "effect": "Often"}]},
            ["spec.taints[0].key"] * 2 + ["spec.taints[0].value", "spec.taints[0].effect"],
        ),
    ],
)
def test_nodes(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in nodes.node(node(**spec))] == wanted


def test_what_identifies_a_node_is_written_once() -> None:
    known = node(providerID="a://b", podCIDRs=["10.0.0.0/24"])
    assert nodes.node_change(known, node()) == []
    found = nodes.node_change(node(providerID="c://d", podCIDRs=["10.0.1.0/24"]), known)
    assert [error.field for error in found] == ["spec.podCIDRs", "spec.providerID"]


def test_a_nodes_resources_and_addresses() -> None:
    address = {"type": "InternalIP", "address": "1.2.3.4"}
    status = {"capacity": {"cpu": "-1", "e.com/x": "500m"}, "addresses": [address, dict(address)]}
    assert texts(nodes.node_status(node(status), node())) == [
        'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
        'status.capacity.e.com/x: Invalid value: "500m": must be an integer',
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.2.3.4"}',
    ]


def test_what_a_feature_gate_hides_is_dropped_unless_it_was_there() -> None:
    new = node(configSource={"configMap": {}})
    strategy.node_created(new)
    assert new["spec"] == {}
    lease: Obj = {"spec": {"strategy": "Oldest", "preferredHolder": "x", "holderIdentity": "y"}}
    kept: Obj = {"spec": dict(lease["spec"])}
    strategy.lease_changed(kept, {"spec": {"strategy": "Oldest"}})
    assert kept == lease
    strategy.lease_changed(kept, {"spec": {}})
    assert kept == {"spec": {"holderIdentity": "y"}}


# --- classes ---


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("p", {"value": 1000000000}, []),
        ("p", {"value": 1000000001}, ["value"]),
        ("system-p", {"value": 1}, ["metadata.name"]),
        ("system-node-critical", {"value": 2000001000}, []),
        ("system-node-critical", {"value": 1}, ["metadata.name"]),
        ("p", {"preemptionPolicy": "Always"}, ["preemptionPolicy"]),
    ],
)
def test_priority_classes(name: str, fields: Obj, wanted: list[str]) -> None:
    assert [error.field for error in nodes.priority_class({"metadata": {"name": name}, **fields})] == wanted


def test_classes_stand() -> None:
    assert texts(nodes.priority_class_change({"value": 2}, {"value": 1})) == [
        "value: Forbidden: may not be changed in an update."
    ]
    assert nodes.priority_class_change({"value": 0}, {}) == []
    assert texts(nodes.runtime_class_change({"handler": "b"}, {"handler": "a"})) == [
        'handler: Invalid value: "b": field is immutable'
    ]


def test_runtime_classes() -> None:
    same = {"key": "k", "operator": "Exists"}
    obj = {"overhead": {"podFixed": {"cpu": "-1"}}, "scheduling": {"tolerations": [same, dict(same)]}}
    assert [error.field for error in nodes.runtime_class(obj)] == [
        "handler",
        "overhead.podFixed[cpu]",
        "scheduling.tolerations[1]",
    ]


# --- quotas and limits ---


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"hard": {"pods": "1", "requests.cpu": "1", "count/a.b": "1", "e.com/x": "2"}}, []),
        ({"hard": {"gold": "1"}}, ["spec.hard[gold]"] * 2),
        ({"hard": {"pods": "500m"}}, ["spec.hard[pods]"]),
        ({"hard": {"pods": "1"}, "scopes": ["Often"]}, ["spec.scopes", "spec.scopes"]),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, ["spec.scopes"]),
        ({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}, ["spec.scopes"]),
        (
            {
                "hard": {"pods": "1"},
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
            },
            ["spec.scopeSelector.matchExpressions.values"],
        ),
        (
            {
                "hard": {"pods": "1"},
                "scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": ["a"]}]},
            },
            ["spec.scopeSelector.matchExpressions.operator"],
        ),
    ],
)
def test_quotas(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in quotas.quota({"spec": spec})] == wanted


def test_a_quotas_scopes_stand_and_its_status_is_checked() -> None:
    one, other = {"spec": {"scopes": ["BestEffort"]}}, {"spec": {"scopes": ["NotBestEffort"]}}
    assert [error.field for error in quotas.quota_change(other, one)] == ["spec.scopes"]
    assert [error.field for error in quotas.quota_status({"status": {"used": {"pods": "-1"}}}, {})] == [
        "status.used[pods]"
    ]


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        (
            {
                "type": "Container",
                "min": {"cpu": "1"},
                "max": {"cpu": "2"},
                "default": {"cpu": "2"},
                "defaultRequest": {"cpu": "1"},
            },
            [],
        ),
        ({"type": "Pod", "default": {"cpu": "1"}}, ["default: Forbidden: may not be specified when `type` is 'Pod'"]),
        (
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            ['min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
        ),
        (
            {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "1500m"}},
            ['default[cpu]: Invalid value: "1": default value 1500m is greater than max value 1'],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}},
            ['maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
        ),
        (
            {"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}},
            ['maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000'],
        ),
        (
            {"type": "Container", "default": {"e.com/x": "2"}, "defaultRequest": {"e.com/x": "1"}},
            ['default[e.com/x]: Invalid value: "2": default value 2 must equal to defaultRequest value 1 in e.com/x'],
        ),
    ],
)
def test_limits(item: Obj, wanted: list[str]) -> None:
    found = quotas.limit_range({"spec": {"limits": [item]}})
    assert texts(found) == [f"spec.limits[0].{text}" for text in wanted]


def test_one_limit_for_each_type() -> None:
    items = [{"type": "Pod", "max": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "1"}}, {"type": "Odd"}]
    found = quotas.limit_range({"spec": {"limits": items}})
    assert [error.field for error in found] == ["spec.limits[1].type"]
    assert [e.field for e in quotas.limit_range({"spec": {"limits": items[2:]}})] == ["spec.limits[0].type"]


# --- budgets and autoscalers ---


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"minAvailable": "50%"}, []),
        ({"minAvailable": "101%"}, ["spec.minAvailable"]),
        ({"maxUnavailable": -1}, ["spec.maxUnavailable"]),
        ({"minAvailable": 1, "maxUnavailable": 1}, ["spec"]),
        ({"unhealthyPodEvictionPolicy": "Never"}, ["spec.unhealthyPodEvictionPolicy"]),
    ],
)
def test_budgets(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in policy.budget({"spec": spec})] == wanted


def autoscaler(**spec: Any) -> Obj:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, **spec}}


def metric(kind: str, **source: Any) -> Obj:
    return {"type": kind, kind[0].lower() + kind[1:]: source}


UTILIZATION = {"type": "Utilization", "averageUtilization": 50}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"maxReplicas": 0}, ["spec.maxReplicas", "spec.maxReplicas"]),
        ({"minReplicas": 0}, ["spec.minReplicas"]),
        ({"scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": "r"}}, []),
        (
            {"scaleTargetRef": {"apiVersion": "v1", "kind": "Deployment", "name": "d"}},
            ["spec.scaleTargetRef.apiVersion"],
        ),
        ({"metrics": [metric("Resource", name="cpu", target=UTILIZATION)]}, []),
        ({"metrics": [metric("Resource", target=UTILIZATION)]}, ["spec.metrics[0].resource.name"]),
        ({"metrics": [{"type": "Pods"}]}, ["spec.metrics[0].pods"]),
        ({"metrics": [metric("Odd")]}, ["spec.metrics[0].type", "spec.metrics[0].odd"]),
        (
            {"metrics": [metric("External", metric={"name": "q"}, target={"type": "Value"})]},
            ["spec.metrics[0].external.target.averageValue"],
        ),
        (
            {
                "metrics": [
                    metric(
                        "ContainerResource", name="cpu", container="c", target={"type": "Odd", "averageUtilization": 0}
                    )
                ]
            },
            [
                "spec.metrics[0].containerResource.target.type",
                "spec.metrics[0].containerResource.target.averageUtilization",
            ],
        ),
        (
            {
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 3601,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}],
                    }
                }
            },
            ["spec.behavior.scaleUp.stabilizationWindowSeconds", "spec.behavior.scaleUp.policies[0].periodSeconds"],
        ),
        ({"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}, []),
        ({"behavior": {"scaleDown": {"selectPolicy": "Max"}}}, ["spec.behavior.scaleDown.policies"]),
    ],
)
def test_autoscalers(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in autoscaling.autoscaler(autoscaler(**spec))] == wanted
