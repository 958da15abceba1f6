"""PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import enum, hook, not_negative
from controlplane.apiserver.rules.workloads import at_most_all, int_or_percent


def _shares(spec: Obj, at: Place) -> Iterator[FieldError]:
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        shown = struct("policy.v1.PodDisruptionBudgetSpec", spec)
        yield errors.invalid(at.path, shown, "minAvailable and maxUnavailable cannot be both set")
    for field, share in (("minAvailable", least), ("maxUnavailable", most)):
        if share is not None:
            yield from int_or_percent(at.to(field), share)
            yield from at_most_all(at.to(field), share)


RULES: dict[str, Row] = {
    "policy.v1.PodDisruptionBudget": (inside("spec", always=True),),
    "policy.v1.PodDisruptionBudgetSpec": (
        hook(_shares),
        "selector",
        enum("unhealthyPodEvictionPolicy", ("AlwaysAllow", "IfHealthyBudget")),
    ),
    "policy.v1.PodDisruptionBudget/status": (inside("status", always=True),),
    "policy.v1.PodDisruptionBudgetStatus": (
        "conditions",
        not_negative("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"),
    ),
}
