"""Where a pod may run: affinity, tolerations, spread, gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.schema import Schema
from controlplane.apiserver.rules.compiled import Rules
from controlplane.apiserver.rules.place import About, Found, Place, Row, Step
from controlplane.apiserver.rules.values import each
from controlplane.apiserver.rules.words import any_form, enum, form, forms, hook, more_than_nothing, required

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_ANY_TAINT = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
_EMPTY = "can not be empty"
_NO_SELECTOR = "must not be specified when labelSelector is not set"
_POSITIVE = "must be greater than zero"


def _tolerates(toleration: Obj, at: Place) -> Iterator[FieldError]:
    operator, value = toleration.get("operator") or "", toleration.get("value") or ""
    effect = toleration.get("effect") or ""
    if not toleration.get("key") and operator != "Exists":
        yield errors.invalid(at.to("operator"), operator, _ANY_TAINT)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield errors.invalid(at.to("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("Equal", ""):
        if complaints := formats.label_value(value):
            yield errors.invalid(at.to("operator"), value, ";".join(complaints))
    elif operator == "Exists":
        if value:
            yield errors.invalid(at.to("operator"), value, "value must be empty when `operator` is 'Exists'")
    else:
        # Comparisons are known, and behind a feature gate that is off.
        allowed = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
        yield errors.not_supported(at.to("operator"), operator, allowed)


def _label_keys(term: Obj, at: Place) -> Iterator[FieldError]:
    """matchLabelKeys and mismatchLabelKeys of an affinity term or a spread constraint."""
    selector, wanted = term.get("labelSelector"), term.get("matchLabelKeys") or []
    unwanted = term.get("mismatchLabelKeys") or []
    for field, keys in (("matchLabelKeys", wanted), ("mismatchLabelKeys", unwanted)):
        if keys and selector is None:
            yield errors.field_forbidden(at.to(field), _NO_SELECTOR)
            continue
        for index, key in enumerate(keys):
            yield from each(f"{at.to(field)}[{index}]", key, formats.qualified_name(key))
    known = set((selector or {}).get("matchLabels") or ())
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key") or ""
        if key in known and key in wanted:
            last = len(wanted) - 1 - wanted[::-1].index(key)
            yield errors.invalid(f"{at.path}[{last}]", key, "exists in both matchLabelKeys and labelSelector")
        known.add(key)
    for index, key in enumerate(wanted):
        if key in unwanted:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield errors.invalid(f"{at.to('matchLabelKeys')}[{index}]", key, text)


def _only_once(constraint: Obj, at: Place) -> Iterator[FieldError]:
    """The earlier of two constraints on the same domains is the one complained of."""
    key, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
    number = at.index if isinstance(at.index, int) else 0
    for other in at.above().value[at.name][number + 1 :]:
        if (other.get("topologyKey") or "", other.get("whenUnsatisfiable") or "") == (key, action):
            yield errors.duplicate(at.to("{topologyKey, whenUnsatisfiable}"), f"{{{key}, {action}}}")
            return


def _min_domains(constraint: Obj, at: Place) -> Iterator[FieldError]:
    action = constraint.get("whenUnsatisfiable") or ""
    if action != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield errors.invalid(at.to("minDomains"), constraint["minDomains"], text)


def _more_than_zero(constraint: Obj, at: Place) -> Iterator[FieldError]:
    skew = constraint.get("maxSkew") or 0
    if skew <= 0:
        yield errors.invalid(at.to("maxSkew"), skew, _POSITIVE)


def _weight(low: int = 1, high: int = 100) -> Row:
    def weighed(term: Obj, at: Place) -> Iterator[FieldError]:
        weight = term.get("weight") or 0
        if not low <= weight <= high:
            yield errors.invalid(at.to("weight"), weight, f"must be in the range {low}-{high}")

    return (hook(weighed),)


RULES: dict[str, Row] = {
    "core.v1.Toleration": (
        form("key", formats.qualified_name),
        hook(_tolerates),
        enum("effect", EFFECTS, "pass"),
    ),
    "core.v1.Affinity": ("nodeAffinity", "podAffinity", "podAntiAffinity"),
    "core.v1.NodeAffinity": (_REQUIRED, _PREFERRED),
    "core.v1.PreferredSchedulingTerm": (*_weight(), "preference"),
    "core.v1.PodAffinity": (_REQUIRED, _PREFERRED),
    "core.v1.PodAntiAffinity": (_REQUIRED, _PREFERRED),
    "core.v1.WeightedPodAffinityTerm": (*_weight(), "podAffinityTerm"),
    "core.v1.PodAffinityTerm": (
        "labelSelector",
        "namespaceSelector",
        forms("namespaces", formats.dns1123_label, shown="namespace", index=False),
        hook(_label_keys, "matchLabelKeys", "mismatchLabelKeys"),
        required("topologyKey", detail=_EMPTY),
        any_form("topologyKey", formats.qualified_name),
    ),
    "core.v1.TopologySpreadConstraint": (
        hook(_more_than_zero),
        required("topologyKey", detail=_EMPTY),
        enum("whenUnsatisfiable", ("DoNotSchedule", "ScheduleAnyway"), "refuse"),
        hook(_only_once),
        more_than_nothing("minDomains", text=_POSITIVE),
        hook(_min_domains, "minDomains"),
        enum("nodeAffinityPolicy", ("Honor", "Ignore")),
        enum("nodeTaintsPolicy", ("Honor", "Ignore")),
        hook(_label_keys, "matchLabelKeys"),
        "labelSelector",
    ),
}


def tolerations_at(path: str, listed: Sequence[Obj]) -> Found:
    """What is wrong with tolerations, wherever they lie."""
    found: Found = []
    for index, toleration in enumerate(listed):
        _toleration()(toleration, Place(None, path, index, toleration, None, About("Pod", {})), found)
    return found


@cache
def _toleration() -> Step:
    node = Schema.load().type("io.k8s.api.core.v1.Toleration")
    return Rules(RULES).compiled(RULES["core.v1.Toleration"], node)
