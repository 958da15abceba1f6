"""PodDisruptionBudgets."""

from __future__ import annotations

from apimachinery import errors
from controlplane.apiserver.rules.values import Found, Obj, enum, label_selector, not_negative
from controlplane.apiserver.validation.workloads import at_most_all, int_or_percent

_UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def budget(obj: Obj) -> Found:
    spec = obj["spec"]
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    found: Found = []
    if least is not None and most is not None:
        found.append(errors.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            path = f"spec.{field}"
            found += int_or_percent(path, value) + at_most_all(path, value)
    found += label_selector("spec.selector", spec.get("selector"))
    if spec.get("unhealthyPodEvictionPolicy") is not None:
        found += enum("spec.unhealthyPodEvictionPolicy", spec["unhealthyPodEvictionPolicy"], _UNHEALTHY)
    return found


def budget_status(new: Obj, old: Obj) -> Found:
    status = new.get("status") or {}
    return [error for field in _COUNTS for error in not_negative(f"status.{field}", status.get(field))]
