"""Selectors of labels and of nodes."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import any_form, forms, hook, labels, required, when

_PAIRED, _LONE, _ORDERED = ("In", "NotIn"), ("Exists", "DoesNotExist"), ("Gt", "Lt")
_UNKNOWN = "not a valid selector operator"
_NO_TERMS = "must have at least one node selector term"


def _operator(requirement: Obj, at: Place) -> Iterator[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in _PAIRED:
        if not values:
            yield errors.required(at.to("values"), "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in _LONE:
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield errors.field_forbidden(at.to("values"), text)
    else:
        yield errors.invalid(at.to("operator"), operator, _UNKNOWN)


def _node_operator(requirement: Obj, at: Place) -> Iterator[FieldError]:
    if requirement.get("operator") not in _ORDERED:
        yield from _operator(requirement, at)
    elif len(requirement.get("values") or ()) != 1:
        yield errors.required(at.to("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'")


def _node_field(requirement: Obj, at: Place) -> Iterator[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator not in _PAIRED:
        yield errors.invalid(at.to("operator"), operator, _UNKNOWN)
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield errors.required(at.to("values"), text)
    if requirement.get("key") != "metadata.name":
        yield errors.invalid(at.to("key"), requirement.get("key") or "", "not a valid field selector key")
        return
    for index, value in enumerate(values):
        for text in formats.dns1123_subdomain(value):
            yield errors.invalid(f"{at.to('values')}[{index}]", value, text)


def _must_hold(requirement: Obj, at: Place) -> bool:
    """A preference may name values that no label can have; it is then never met."""
    return at.above().name != "preference"


RULES: dict[str, Row] = {
    "meta.v1.LabelSelector": (labels("matchLabels"), "matchExpressions"),
    "meta.v1.LabelSelectorRequirement": (
        hook(_operator),
        any_form("key", formats.qualified_name),
        forms("values", formats.label_value),
    ),
    "core.v1.NodeSelector": (required("nodeSelectorTerms", detail=_NO_TERMS), "nodeSelectorTerms"),
    "core.v1.NodeSelectorTerm": ("matchExpressions", "matchFields"),
    "core.v1.NodeSelectorTerm.matchExpressions": (
        hook(_node_operator),
        any_form("key", formats.qualified_name),
        when(_must_hold, forms("values", formats.label_value)),
    ),
    "core.v1.NodeSelectorTerm.matchFields": (hook(_node_field),),
}
