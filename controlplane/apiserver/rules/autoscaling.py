"""HorizontalPodAutoscalers, in the shape of autoscaling/v2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.resources import container_resource_name
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import NOT_NEGATIVE, amount
from controlplane.apiserver.rules.words import enum, hook, name, not_negative, required

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
# In upstream's order; only the first that is there is looked into.
_LOOKED = ("object", "external", "pods", "resource", "containerResource")
_LONGEST_WINDOW, _LONGEST_PERIOD = 3600, 1800
_RAW_OR_USED = "must set either a target raw value or a target utilization"
_NOT_BOTH = "may not set both a target raw value and a target utilization"


# --- replicas and what is scaled ---


def _replicas(spec: Obj, at: Place) -> Iterator[FieldError]:
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    lowest = 0 if (at.old or {}).get("minReplicas") == 0 else 1
    if least is not None and least < lowest:
        yield errors.invalid(at.to("minReplicas"), least, f"must be greater than or equal to {lowest}")
    if most == 0:
        yield errors.required(at.to("maxReplicas"), "must be set and greater than 0")
    elif most < 0:
        yield errors.invalid(at.to("maxReplicas"), most, "must be greater than or equal to 1")
    if least is not None and most < least:
        yield errors.invalid(at.to("maxReplicas"), most, "must be greater than or equal to `minReplicas`")


def _version(target: Obj, groupless: bool) -> str:
    """What is wrong with the API version of what is scaled, "" when nothing is."""
    version = target.get("apiVersion") or ""
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    return "" if groupless or version.find("/") > 0 else "apiVersion must specify API group"


def _scaled_version(target: Obj, at: Place) -> Iterator[FieldError]:
    """What was let in earlier may stay."""
    old, groupless = at.old, target.get("kind") == "ReplicationController"
    if old is not None and all(old.get(field) == target.get(field) for field in ("apiVersion", "kind")):
        return
    if wrong := _version(target, groupless):
        yield errors.invalid(at.to("apiVersion"), target.get("apiVersion") or "", wrong)


def _described_version(target: Obj, at: Place) -> Iterator[FieldError]:
    before = ((at.about.old or {}).get("spec") or {}).get("metrics") or ()
    for metric in before:
        described = (metric.get("object") or {}).get("describedObject") or {}
        if metric.get("type") == "Object" and _version(described, groupless=True):
            return
    if wrong := _version(target, groupless=True):
        yield errors.invalid(at.to("apiVersion"), target["apiVersion"], wrong)


# --- metrics ---


def _kind(metric: Obj, at: Place) -> Iterator[FieldError]:
    if not metric.get("type"):
        yield errors.required(at.to("type"), "must specify a metric source type")


def _source(metric: Obj, at: Place) -> Iterator[FieldError]:
    kind = metric.get("type") or ""
    given = [field for field in _LOOKED if metric.get(field) is not None]
    expected = _SOURCES.get(kind, "")
    if not expected:
        yield errors.not_supported(at.to("type"), kind, _SOURCES)
    elif expected not in given:
        yield errors.required(at.to(expected), "must populate information for the given metric source")
    if len(given) != 1:
        for field in given:
            if field != expected:
                yield errors.field_forbidden(at.to(field), "must populate the given metric source only")


def _first(field: str) -> Any:
    """The rules of a source that is the first of its metric."""
    before = _LOOKED[: _LOOKED.index(field)]

    def source(metric: Obj) -> Obj | None:
        found: Obj | None = metric.get(field)
        return None if any(metric.get(other) is not None for other in before) else found

    return inside(field, made=source)


def _to_zero(spec: Obj, at: Place) -> Iterator[FieldError]:
    kinds = {metric.get("type") for metric in spec.get("metrics") or ()}
    if spec.get("minReplicas") == 0 and not kinds & {"Object", "External"}:
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield errors.field_forbidden(at.to("metrics"), text)


def _target(target: Obj, at: Place) -> Iterator[FieldError]:
    kind, used = target.get("type") or "", target.get("averageUtilization")
    if not kind:
        yield errors.required(at.to("type"), "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield errors.invalid(at.to("type"), kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and amount(target[field]) <= amount(0):
            yield errors.invalid(at.to(field), target[field], "must be positive")
    if used is not None and used < 1:
        yield errors.invalid(at.to("averageUtilization"), used, "must be greater than 0")


def _values(missing: str, both: str = "") -> Any:
    """A value, for all or for each pod. both: what is said of the two together, "" where they may be."""

    def check(source: Obj, at: Place) -> Iterator[FieldError]:
        target = source.get("target") or {}
        whole, each = (target.get(field) is not None for field in ("value", "averageValue"))
        if not whole and not each:
            yield errors.required(at.to("target.averageValue"), missing)
        if whole and each and both:
            yield errors.field_forbidden(at.to("target.value"), both)

    return hook(check)


def _average(source: Obj, at: Place) -> Iterator[FieldError]:
    if (source.get("target") or {}).get("averageValue") is None:
        yield errors.required(at.to("target.averageValue"), "must specify a positive target averageValue")


def _used(source: Obj, at: Place) -> Iterator[FieldError]:
    target = source.get("target") or {}
    used, raw = (target.get(field) is not None for field in ("averageUtilization", "averageValue"))
    if not used and not raw:
        yield errors.required(at.to("target.averageUtilization"), _RAW_OR_USED)
    if used and raw:
        yield errors.field_forbidden(at.to("target.averageValue"), _NOT_BOTH)


def _container_resource(source: Obj, at: Place) -> list[FieldError]:
    return container_resource_name(at.to("name"), source["name"]) if source["name"] else []


# --- behavior ---


def _window(rules: Obj, at: Place) -> Iterator[FieldError]:
    seconds, where = rules["stabilizationWindowSeconds"] or 0, at.to("stabilizationWindowSeconds")
    if seconds < 0:
        yield errors.invalid(where, seconds, "must be greater than or equal to zero")
    if seconds > _LONGEST_WINDOW:
        yield errors.invalid(where, seconds, f"must be less than or equal to {_LONGEST_WINDOW}")


def _tolerance(rules: Obj, at: Place) -> Iterator[FieldError]:
    if rules["tolerance"] is not None and amount(rules["tolerance"]) < amount(0):
        yield errors.invalid(at.to("tolerance"), rules["tolerance"], NOT_NEGATIVE)


def _policy(policy: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("value", "periodSeconds"):
        if (policy.get(field) or 0) <= 0:
            yield errors.invalid(at.to(field), policy.get(field) or 0, "must be greater than zero")
    seconds = policy.get("periodSeconds") or 0
    if seconds > _LONGEST_PERIOD:
        yield errors.invalid(at.to("periodSeconds"), seconds, f"must be less than or equal to {_LONGEST_PERIOD}")


_METRIC, _TARGET = inside("metric", always=True), inside("target", always=True)

RULES: dict[str, Row] = {
    "autoscaling.v2.HorizontalPodAutoscaler": (inside("spec", always=True),),
    "autoscaling.v2.HorizontalPodAutoscalerSpec": (
        hook(_replicas),
        inside("scaleTargetRef", always=True),
        "metrics",
        hook(_to_zero),
        "behavior",
    ),
    "autoscaling.v2.CrossVersionObjectReference": (name("kind", path_segment), name("name", path_segment)),
    "autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef": (hook(_scaled_version),),
    "autoscaling.v2.MetricSpec": (
        hook(_kind),
        enum("type", _SOURCES, "refuse"),
        *(_first(field) for field in _LOOKED),
        hook(_source),
    ),
    "autoscaling.v2.ObjectMetricSource": (
        inside("describedObject", always=True),
        _METRIC,
        _TARGET,
        _values("must set either a target value or averageValue"),
    ),
    "autoscaling.v2.ObjectMetricSource.describedObject": (hook(_described_version),),
    "autoscaling.v2.ExternalMetricSource": (
        _METRIC,
        _TARGET,
        _values(
            "must set either a target value for metric or a per-pod target",
            "may not set both a target value for metric and a per-pod target",
        ),
    ),
    "autoscaling.v2.PodsMetricSource": (_METRIC, _TARGET, hook(_average)),
    "autoscaling.v2.ResourceMetricSource": (
        required("name", detail="must specify a resource name"),
        _TARGET,
        hook(_used),
    ),
    "autoscaling.v2.ContainerResourceMetricSource": (
        required("name", detail="must specify a resource name"),
        hook(_container_resource, "name"),
        name("container", formats.dns1123_label, detail="must specify a container"),
        _TARGET,
        hook(_used),
    ),
    "autoscaling.v2.MetricIdentifier": (name("name", path_segment, detail="must specify a metric name"),),
    "autoscaling.v2.MetricTarget": (hook(_target),),
    "autoscaling.v2.HorizontalPodAutoscalerBehavior": ("scaleUp", "scaleDown"),
    "autoscaling.v2.HPAScalingRules": (
        hook(_window, "stabilizationWindowSeconds"),
        enum("selectPolicy", ("Disabled", "Max", "Min")),
        required("policies", detail="must specify at least one Policy"),
        "policies",
        hook(_tolerance, "tolerance"),
    ),
    "autoscaling.v2.HPAScalingPolicy": (enum("type", ("Percent", "Pods"), "refuse"), hook(_policy)),
    "autoscaling.v2.HorizontalPodAutoscaler/status": (inside("status", always=True),),
    "autoscaling.v2.HorizontalPodAutoscalerStatus": (not_negative("currentReplicas", "desiredReplicas"),),
}
