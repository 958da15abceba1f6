"""Words of texts, and of lists and maps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from apimachinery import errors, formats
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Found, Place, Rule, of_field, plain

Check = Callable[[str], tuple[str, ...]]


def name(field: str, check: Check = formats.dns1123_label, detail: str = "") -> Rule:
    """A text that must be there and has a form."""

    def step(value: Obj, at: Place, found: Found) -> None:
        text = value.get(field)
        if not text:
            found.append(errors.required(at.to(field), detail))
        elif complaints := check(text):
            found.extend(errors.invalid(at.to(field), text, told) for told in complaints)

    return plain(step, field)


def form(field: str, check: Check, shown: str | None = None) -> Rule:
    """A text that, where it is not empty, has a form."""
    label = field if shown is None else shown

    def step(value: Obj, at: Place, found: Found) -> None:
        text = value.get(field)
        if text and (complaints := check(text)):
            found.extend(errors.invalid(at.to(label), text, told) for told in complaints)

    return of_field(step, field)


def strict_form(field: str, check: Check) -> Rule:
    """A text that, where it is there at all, has a form, also when it is empty."""

    def step(value: Obj, at: Place, found: Found) -> None:
        text = value.get(field)
        if text is not None and (complaints := check(text)):
            found.extend(errors.invalid(at.to(field), text, told) for told in complaints)

    return of_field(step, field)


def any_form(field: str, check: Check) -> Rule:
    """A text that has a form, also when it is absent, which is the same as empty."""

    def step(value: Obj, at: Place, found: Found) -> None:
        if complaints := check(value.get(field) or ""):
            found.extend(errors.invalid(at.to(field), value.get(field) or "", told) for told in complaints)

    return plain(step, field)


def forms(field: str, check: Check, shown: str | None = None, index: bool = True) -> Rule:
    """A list of texts, each of a form."""
    label = field if shown is None else shown

    def step(value: Obj, at: Place, found: Found) -> None:
        for number, text in enumerate(value.get(field) or ()):
            for told in check(text):
                where = f"{at.to(label)}[{number}]" if index else at.to(label)
                found.append(errors.invalid(where, text, told))

    return of_field(step, field)


def by_path(
    field: str, check: Callable[[str, Any], Found], empty: Literal["pass", "absent", "required", "check"]
) -> Rule:
    """A text looked at by a function that is given its path.

    empty: what becomes of nothing: it passes ("pass": absent or empty; "absent": absent alone), is required, or looked
    at as any other.
    """

    def step(value: Obj, at: Place, found: Found) -> None:
        text = value.get(field)
        if text or empty == "check" or (empty == "absent" and text is not None):
            # Paths are for what is wrong alone, so that what is fine costs little.
            if check("", text or ""):
                found.extend(check(at.to(field), text or ""))
        elif empty == "required":
            found.append(errors.required(at.to(field)))

    return of_field(step, field) if empty in ("pass", "absent") else plain(step, field)


def longest(field: str, limit: int) -> Rule:
    """A text of at most so many bytes."""

    def step(value: Obj, at: Place, found: Found) -> None:
        if len((value.get(field) or "").encode()) > limit:
            found.append(errors.too_long(at.to(field), limit))

    return of_field(step, field)


def enum(
    field: str,
    allowed: Iterable[str],
    empty: Literal["pass", "absent", "required", "given", "refuse"] = "absent",
    detail: str = "",
    shown: str | None = None,
) -> Rule:
    """One of a set, which messages list in this order.

    empty: whether nothing passes ("pass": absent or empty; "absent": absent alone), is required ("required": absent or
    empty; "given": absent alone), or refused as any other value. detail: of the required value.
    """
    choices = tuple(allowed)
    known = frozenset(choices)
    label = field if shown is None else shown

    def step(value: Obj, at: Place, found: Found) -> None:
        item = value.get(field)
        if item in known:
            return
        if (item is None and empty == "absent") or (not item and empty == "pass"):
            return
        if (not item and empty == "required") or (item is None and empty == "given"):
            found.append(errors.required(at.to(label), detail))
        else:
            found.append(errors.not_supported(at.to(label), item or "", choices))

    return of_field(step, field) if empty in ("pass", "absent") else plain(step, field)


def unique(field: str, empty: bool = False) -> Rule:
    """No two items of a list have the same value there. empty: nor do two have none."""

    def step(value: Obj, at: Place, found: Found) -> None:
        item = value.get(field)
        if not item and not empty:
            return
        seen = at.seen(field)
        if item in seen:
            found.append(errors.duplicate(at.to(field), item or ""))
        seen.add(item)

    return plain(step, field)


def labels(field: str, shown: str | None = None) -> Rule:
    """A map of labels; its paths name no key."""
    label = field if shown is None else shown

    def step(value: Obj, at: Place, found: Found) -> None:
        for key, text in sorted((value.get(field) or {}).items()):
            for told in formats.qualified_name(key):
                found.append(errors.invalid(at.to(label), key, told))
            for told in formats.label_value(text):
                found.append(errors.invalid(at.to(label), text, told))

    return of_field(step, field)
