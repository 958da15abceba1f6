"""What kinds that make pods have in common: selectors, templates, counts, shares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from apimachinery import errors, selectors
from apimachinery.errors import FieldError
from apimachinery.numerals import INT64, whole
from apimachinery.objects import Obj
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import NOT_NEGATIVE, label_selector
from controlplane.apiserver.rules.words import changed, hook, required, when

_PERCENT = re.compile(r"[0-9]+%\Z")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
    "used for validation is '[0-9]+%')"
)
_SELECTOR = "meta.v1.LabelSelector"


# --- shares ---


def int_or_percent(path: str, value: Any) -> list[FieldError]:
    if isinstance(value, str):
        return [] if _PERCENT.match(value) else [errors.invalid(path, value, _PERCENT_TEXT)]
    return [errors.invalid(path, value, NOT_NEGATIVE)] if (value or 0) < 0 else []


def at_most_all(path: str, value: Any) -> list[FieldError]:
    """A share of something that cannot be more than all of it."""
    if isinstance(value, str) and _PERCENT.match(value) and (whole(value[:-1]) or 0) > 100:
        return [errors.invalid(path, value, "must not be greater than 100%")]
    return []


def some(value: Any) -> bool:
    """Whether a number or share is more than none; what is neither counts as none, and a number in a text as that."""
    if isinstance(value, str):
        # What is too large for upstream's reader is none, too.
        number = whole(value[:-1] if _PERCENT.match(value) else value)
        return number is not None and 0 != number < INT64
    return bool(value)


# --- selectors and templates ---


def labels_of(template: Obj | None) -> Obj:
    found: Obj = ((template or {}).get("metadata") or {}).get("labels") or {}
    return dict(sorted(found.items()))


def mismatch(at: Place, template: Obj | None) -> FieldError:
    """A spec's selector does not select its template."""
    metadata = (template or {}).get("metadata")
    labels = None if metadata is None else written(metadata, "labels")
    shown = None if labels is None else dict(sorted(labels.items()))
    return errors.invalid(at.to("template.metadata.labels"), shown, "`selector` does not match template `labels`")


def usable(spec: Obj, at: Place) -> bool:
    """Whether the selector of a spec can select at all; an absent one selects nothing."""
    return not label_selector("", spec.get("selector"))


def selects(spec: Obj, at: Place) -> Iterator[FieldError]:
    """A usable selector selects the template of its own spec."""
    template = spec.get("template")
    if not selectors.from_label_selector(spec.get("selector")).matches(labels_of(template)):
        yield mismatch(at, template)


def selector(what: str, unusable: str) -> Row:
    """A selector that must be there and select something. unusable: what is said of one that cannot."""

    def empty(spec: Obj, at: Place) -> Iterator[FieldError]:
        given = spec.get("selector")
        if given is not None and not given.get("matchLabels") and not given.get("matchExpressions"):
            yield errors.invalid(at.to("selector"), given, f"empty selector is invalid for {what}")
        if not usable(spec, at):
            yield errors.invalid(at.to("selector"), struct(_SELECTOR, given), unusable)

    return (required("selector"), "selector", hook(empty))


def lifelong(owner: str) -> Rule:
    """Pods that are there for good, of whatever makes them anew."""

    def check(spec: Obj, at: Place) -> Iterator[FieldError]:
        pod = (spec.get("template") or {}).get("spec") or {}
        policy = pod.get("restartPolicy", "Always")
        if policy != "Always":
            yield errors.not_supported(at.to("template.spec.restartPolicy"), policy, ("Always",))
        if pod.get("activeDeadlineSeconds") is not None:
            text = f"activeDeadlineSeconds in {owner} is not Supported"
            yield errors.field_forbidden(at.to("template.spec.activeDeadlineSeconds"), text)

    return hook(check)


def selected(template: Rule) -> Rule:
    """A template that a usable selector selects, of pods that are there for good."""
    return when(usable, hook(selects), template, lifelong("ReplicaSet"))


# --- statuses ---


def within(whole: str, *parts: str, shown: str) -> Rule:
    """No part is greater than the whole."""

    def check(status: Obj, at: Place) -> Iterator[FieldError]:
        for part in parts:
            count = status.get(part) or 0
            if count > (status.get(whole) or 0):
                yield errors.invalid(at.to(part), count, f"cannot be greater than {shown}")

    return hook(check)


def never_less(field: str) -> Rule:
    """A count that only grows, and is not given up."""

    def check(status: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
        was, count = before.get(field), status.get(field)
        if was is not None and (count is None or count < was):
            yield errors.invalid(at.to(field), count or 0, "cannot be decremented")

    return changed(check)
