"""One metric of an autoscaler, between v2 and the flat form that v1 keeps in an annotation."""

from __future__ import annotations

from apimachinery import quantity
from apimachinery.objects import Obj

# Kinds of metric by the field that holds them, in the order the annotation has them.
_SOURCES = ("object", "pods", "resource", "containerResource", "external")
# Sources that name a metric, those that measure a resource.
_NAMED, _MEASURED = ("object", "pods", "external"), ("resource", "containerResource")


def to_v1(metric: Obj) -> Obj:
    return _flat(metric, "target", "targetValue")


def status_to_v1(metric: Obj) -> Obj:
    return _flat(metric, "current", "currentValue")


def from_v1(metric: Obj) -> Obj:
    found = _nested(metric, "target", "targetValue")
    for source in _SOURCES:
        if source in found:
            found[source]["target"] = _target(source, found[source]["target"])
    return found


def status_from_v1(metric: Obj) -> Obj:
    return _nested(metric, "current", "currentValue")


def _target(source: str, amounts: Obj) -> Obj:
    """What is aimed at, with its kind, which v1 does not tell and upstream takes from what is there."""
    if source in _MEASURED:
        return {"type": "Utilization" if "averageUtilization" in amounts else "AverageValue", **amounts}
    if source == "external":
        return {"type": "Value" if "value" in amounts else "AverageValue", **amounts}
    if source == "pods":
        return {"type": "AverageValue", "averageValue": "0", **amounts}
    if "averageValue" not in amounts:
        return {"type": "Value", "value": "0", **amounts}
    # v1 cannot leave out the value: none is as good as zero.
    return {
        "type": "AverageValue",
        **{key: amount for key, amount in amounts.items() if key != "value" or _some(amount)},
    }


def _some(amount: str) -> bool:
    try:
        return bool(quantity.parse(amount))
    except quantity.QuantityError:
        return True


def _flat(metric: Obj, place: str, value: str) -> Obj:
    found: Obj = {"type": metric.get("type", "")}
    for source in _SOURCES:
        if source in metric:
            found[source] = _flat_source(source, metric[source], place, value)
    return found


def _flat_source(source: str, given: Obj, place: str, value: str) -> Obj:
    amounts, metric = given.get(place) or {}, given.get("metric") or {}
    average = place + "AverageValue"
    if source in _MEASURED:
        # Upstream always writes what was measured, asked or not.
        amount = amounts.get("averageValue", "0" if place == "current" else None)
        flat = {
            "name": given.get("name"),
            f"{place}AverageUtilization": amounts.get("averageUtilization"),
            average: amount,
        }
        return _said({**flat, "container": given.get("container")})
    if source == "pods":
        amount = amounts.get("averageValue", "0")
        return _said({"metricName": metric.get("name", ""), average: amount, "selector": metric.get("selector")})
    if source == "object":
        described = given.get("describedObject") or {}
        target = {key: described[key] for key in ("kind", "name", "apiVersion") if key in described}
        flat = {"target": target, "metricName": metric.get("name", "")}
        flat |= {value: amounts.get("value", "0"), "selector": metric.get("selector")}
        return _said({**flat, "averageValue": amounts.get("averageValue")})
    amount = amounts.get("value", "0" if place == "current" else None)
    flat = {"metricName": metric.get("name", ""), "metricSelector": metric.get("selector")}
    return _said({**flat, value: amount, average: amounts.get("averageValue")})


def _nested(metric: Obj, place: str, value: str) -> Obj:
    found: Obj = {"type": metric.get("type", "")}
    for source in _SOURCES:
        if isinstance(metric.get(source), dict):
            found[source] = _nested_source(source, metric[source], place, value)
    return found


def _nested_source(source: str, flat: Obj, place: str, value: str) -> Obj:
    amounts = _said(
        {
            "value": flat.get(value),
            "averageValue": flat.get("averageValue" if source == "object" else place + "AverageValue"),
            "averageUtilization": flat.get(f"{place}AverageUtilization"),
        }
    )
    if source in _MEASURED:
        if place == "current" and amounts.get("averageValue") == "0" and "averageUtilization" in amounts:
            del amounts["averageValue"]
        return _said({"name": flat.get("name"), place: amounts, "container": flat.get("container")})
    selector = flat.get("metricSelector" if source == "external" else "selector")
    named = {"metric": _said({"name": flat.get("metricName", ""), "selector": selector}), place: amounts}
    return _said({**named, "describedObject": flat.get("target")}) if source == "object" else named


def _said(fields: Obj) -> Obj:
    return {key: value for key, value in fields.items() if value is not None}
