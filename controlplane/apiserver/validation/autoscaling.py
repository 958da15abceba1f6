"""HorizontalPodAutoscalers, in the shape of autoscaling/v2."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.values import Found, Obj, amount, enum, label_selector, name, not_negative

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_TARGETS = ("AverageValue", "Utilization", "Value")
_SELECT, _POLICIES = ("Disabled", "Max", "Min"), ("Percent", "Pods")
_LONGEST_WINDOW, _LONGEST_PERIOD = 3600, 1800
_POSITIVE = "must be positive"


def autoscaler(obj: Obj) -> Found:
    spec = obj["spec"]
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    found: Found = []
    if least is not None and least < 1:
        found.append(errors.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        text = "must be set and greater than 0"
        found.append(errors.required("spec.maxReplicas", text))
    if least is not None and most < least:
        text = "must be greater than or equal to `minReplicas`"
        found.append(errors.invalid("spec.maxReplicas", most, text))
    found += _target("spec.scaleTargetRef", spec.get("scaleTargetRef") or {})
    for index, metric in enumerate(spec.get("metrics") or ()):
        found += _metric(f"spec.metrics[{index}]", metric)
    behavior = spec.get("behavior") or {}
    for field in ("scaleUp", "scaleDown"):
        if behavior.get(field) is not None:
            found += _rules(f"spec.behavior.{field}", behavior[field])
    return found


def _target(path: str, target: Obj) -> Found:
    found: Found = []
    for key in ("kind", "name"):
        found += name(f"{path}.{key}", target.get(key), path_segment)
    version = target.get("apiVersion") or ""
    if version.count("/") > 1:
        found.append(errors.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif "/" not in version and target.get("kind") != "ReplicationController":
        found.append(errors.invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    return found


def _metric(path: str, metric: Obj) -> Found:
    kind = metric.get("type") or ""
    found: Found = []
    if not kind:
        found.append(errors.required(f"{path}.type", "must specify a metric source type"))
    found += enum(f"{path}.type", kind, _SOURCES)
    # In upstream's order; only the first source is looked into.
    given = [
        key for key in ("object", "external", "pods", "resource", "containerResource") if metric.get(key) is not None
    ]
    if given:
        found += _source(f"{path}.{given[0]}", given[0], metric[given[0]])
    expected = _SOURCES.get(kind, kind.lower())
    if expected not in given:
        text = "must populate information for the given metric source"
        found.append(errors.required(f"{path}.{expected}", text))
    if len(given) != 1:
        text = "must populate the given metric source only"
        found += [errors.field_forbidden(f"{path}.{key}", text) for key in given if key != expected]
    return found


def _source(path: str, kind: str, source: Obj) -> Found:
    target = source.get("target") or {}
    if kind in ("resource", "containerResource"):
        found: Found = []
        if not source.get("name"):
            found.append(errors.required(f"{path}.name", "must specify a resource name"))
        if kind == "containerResource" and not source.get("container"):
            found.append(errors.required(f"{path}.container", "must specify a container"))
        return found + _metric_target(f"{path}.target", target) + _resource_target(f"{path}.target", target)
    found = []
    if kind == "object":
        found += _target(f"{path}.describedObject", source.get("describedObject") or {})
    found += _identifier(f"{path}.metric", source.get("metric") or {})
    found += _metric_target(f"{path}.target", target)
    value, average = target.get("value"), target.get("averageValue")
    if kind == "pods" and (average is None or amount(average) <= amount(0)) and average is None:
        found.append(errors.required(f"{path}.target.averageValue", "must specify a positive target averageValue"))
    if kind in ("object", "external") and value is None and average is None:
        text = "must set either a target value for metric or a per-pod target"
        found.append(errors.required(f"{path}.target.averageValue", text))
    if kind == "external" and value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        found.append(errors.field_forbidden(f"{path}.target.value", text))
    return found


def _identifier(path: str, metric: Obj) -> Found:
    found = name(f"{path}.name", metric.get("name"), path_segment, "must specify a metric name")
    return found + label_selector(f"{path}.selector", metric.get("selector"))


def _metric_target(path: str, target: Obj) -> Found:
    kind = target.get("type") or ""
    found: Found = []
    if not kind:
        found.append(errors.required(f"{path}.type", "must specify a metric target type"))
    if kind not in _TARGETS:
        text = "must be either Utilization, Value, or AverageValue"
        found.append(errors.invalid(f"{path}.type", kind, text))
    for field in ("value", "averageValue"):
        if target.get(field) is not None and amount(target[field]) <= amount(0):
            found.append(errors.invalid(f"{path}.{field}", target[field], _POSITIVE))
    used = target.get("averageUtilization")
    if used is not None and used < 1:
        found.append(errors.invalid(f"{path}.averageUtilization", used, "must be greater than 0"))
    return found


def _resource_target(path: str, target: Obj) -> Found:
    used, average = target.get("averageUtilization"), target.get("averageValue")
    if used is None and average is None:
        text = "must set either a target raw value or a target utilization"
        return [errors.required(f"{path}.averageUtilization", text)]
    if used is not None and average is not None:
        text = "may not set both a target raw value and a target utilization"
        return [errors.field_forbidden(f"{path}.averageValue", text)]
    return []


def _rules(path: str, rules: Obj) -> Found:
    window = rules.get("stabilizationWindowSeconds")
    found = not_negative(f"{path}.stabilizationWindowSeconds", window)
    if window is not None and window > _LONGEST_WINDOW:
        text = f"must be less than or equal to {_LONGEST_WINDOW}"
        found.append(errors.invalid(f"{path}.stabilizationWindowSeconds", window, text))
    if rules.get("selectPolicy") is not None:
        found += enum(f"{path}.selectPolicy", rules["selectPolicy"], _SELECT)
    if rules.get("tolerance") is not None and amount(rules["tolerance"]) < amount(0):
        text = "must be greater than or equal to 0"
        found.append(errors.invalid(f"{path}.tolerance", rules["tolerance"], text))
    policies = rules.get("policies") or []
    if not policies and rules.get("selectPolicy") != "Disabled":
        found.append(errors.required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        found += _policy(f"{path}.policies[{index}]", policy)
    return found


def _policy(path: str, policy: Obj) -> Found:
    found = enum(f"{path}.type", policy.get("type") or "", _POLICIES)
    for field in ("value", "periodSeconds"):
        if (policy.get(field) or 0) <= 0:
            found.append(errors.invalid(f"{path}.{field}", policy.get(field) or 0, "must be greater than zero"))
    seconds: Any = policy.get("periodSeconds") or 0
    if seconds > _LONGEST_PERIOD:
        text = f"must be less than or equal to {_LONGEST_PERIOD}"
        found.append(errors.invalid(f"{path}.periodSeconds", seconds, text))
    return found


def autoscaler_status(new: Obj, old: Obj) -> Found:
    status = new.get("status") or {}
    found = not_negative("status.currentReplicas", status.get("currentReplicas"))
    return found + not_negative("status.desiredReplicas", status.get("desiredReplicas"))
