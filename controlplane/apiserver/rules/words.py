"""The words that rows are written in. Each says one thing of one or more fields of a type.

A text is empty and a number zero where it is absent, as upstream's types have it; a rule that tells an absent
value from an empty one says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Found, Hook, Place, Rows, Rule, Step, of_field, plain
from controlplane.apiserver.rules.shown import shown
from controlplane.apiserver.rules.values import NOT_NEGATIVE, PORT_RANGE

Check = Callable[[str], tuple[str, ...]]


def hook(check: Hook, *needs: str) -> Rule:
    """What crosses fields: the errors that `check` gives. needs: only where one of these fields is there."""

    def always(value: Obj, at: Place, found: Found) -> None:
        found.extend(check(value, at))

    def needed(value: Obj, at: Place, found: Found) -> None:
        for field in needs:
            if field in value:
                found.extend(check(value, at))
                return

    if len(needs) == 1:
        return Rule(lambda node, rules: always, needs, only_with=needs[0])
    return Rule(lambda node, rules: needed if needs else always, needs)


def created(check: Hook) -> Rule:
    """A hook of new objects alone."""
    return plain(lambda value, at, found: found.extend(check(value, at)) if at.about.old is None else None)


def changed(check: Callable[[Obj, Obj, Place], Iterable[FieldError]]) -> Rule:
    """A hook of changes alone, which is also given what stood there before ({} for nothing)."""

    def step(value: Obj, at: Place, found: Found) -> None:
        if at.about.old is not None:
            found.extend(check(value, at.old or {}, at))

    return plain(step)


def sound(note: Callable[[Obj, Place], None]) -> Rule:
    """What is done with a struct in which, all below included, nothing was found."""
    return Rule(lambda node, rules: lambda value, at, found: note(value, at), sound=True)


def when(test: Callable[[Obj, Place], bool], *entries: Rule | str) -> Rule:
    """Entries for the structs alone that pass a test."""
    listed = [inside(entry) if isinstance(entry, str) else entry for entry in entries]

    def bind(node: Node, rules: Rows) -> Step:
        walk = rules.compiled(tuple(listed), node)

        def step(value: Obj, at: Place, found: Found) -> None:
            if test(value, at):
                walk(value, at, found)

        return step

    return Rule(bind, tuple(name for entry in listed for name in entry.fields))


# --- there or not ---


def required(*fields: str, detail: str = "") -> Rule:
    """Fields that must be there. A text, list or map must hold something, a number must not be zero."""

    def bind(node: Node, rules: Rows) -> Step:
        structs = {field for field in fields if node.fields[field].shape == "struct"}

        def step(value: Obj, at: Place, found: Found) -> None:
            for field in fields:
                item = value.get(field)
                if not item and (item is None or field not in structs):
                    found.append(errors.required(at.to(field), detail))

        return step

    return Rule(bind, fields)


def forbidden(*fields: str, detail: str) -> Rule:
    """Fields that may not be set here; a text, number or list that is empty is not set, an empty struct is."""

    def bind(node: Node, rules: Rows) -> Step:
        structs = {field for field in fields if node.fields[field].shape == "struct"}

        def step(value: Obj, at: Place, found: Found) -> None:
            for field in fields:
                item = value.get(field)
                if item or (item is not None and field in structs):
                    found.append(errors.field_forbidden(at.to(field), detail))

        return step

    return Rule(bind, fields)


def union(*members: str | tuple[str, str, str], many: str, none: str = "", welcome: tuple[str, ...] = ()) -> Rule:
    """One of several fields and no more, in this order: the first is looked into, every further one refused.

    A member whose paths have names of their own is (field, name when refused, name when looked into). many, none:
    what is said of one too many, and of a struct without any (nothing when empty). welcome: fields that are looked
    into wherever they stand.
    """
    named = [(m, m, m) if isinstance(m, str) else m for m in members]

    def bind(node: Node, rules: Rows) -> Step:
        looks = {field: inside(field, looked).bind(node, rules) for field, _, looked in named}
        refusals = {field: refused for field, refused, _ in named}

        def step(value: Obj, at: Place, found: Found) -> None:
            given = [field for field in value if field in looks and value[field] is not None]
            if not given:
                if none:
                    found.append(errors.required(at.path, none))
                return
            first, *more = given if len(given) == 1 else [field for field in looks if field in given]
            if (look := looks[first]) is not None:
                look(value, at, found)
            for field in more:
                if field not in welcome:
                    found.append(errors.field_forbidden(at.to(refusals[field]), many))
                elif (look := looks[field]) is not None:
                    look(value, at, found)

        return step

    return Rule(bind, tuple(field for field, _, _ in named))


# --- texts ---


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


def by_path(field: str, check: Callable[[str, Any], Found], empty: Literal["pass", "required", "check"]) -> Rule:
    """A text looked at by a function that is given its path. empty: what an absent or empty one is."""

    def step(value: Obj, at: Place, found: Found) -> None:
        text = value.get(field)
        if text or empty == "check":
            # Paths are for what is wrong alone, so that what is fine costs little.
            if check("", text or ""):
                found.extend(check(at.to(field), text or ""))
        elif empty == "required":
            found.append(errors.required(at.to(field)))

    return of_field(step, field) if empty == "pass" else plain(step, field)


def longest(field: str, limit: int) -> Rule:
    """A text of at most so many bytes."""

    def step(value: Obj, at: Place, found: Found) -> None:
        if len((value.get(field) or "").encode()) > limit:
            found.append(errors.too_long(at.to(field), limit))

    return of_field(step, field)


def enum(
    field: str,
    allowed: Iterable[str],
    empty: Literal["pass", "absent", "required", "refuse"] = "absent",
    detail: str = "",
    shown: str | None = None,
) -> Rule:
    """One of a set, which messages list in this order.

    empty: whether nothing passes ("pass": absent or empty; "absent": absent alone), is required, or refused as any
    other value. detail: of the required value.
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
        if not item and empty == "required":
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


# --- numbers and lists ---


def between(field: str, low: int, high: int, text: str = "") -> Rule:
    """A number that, where it is there, lies in a range, both ends included."""
    told = text or f"must be between {low} and {high}, inclusive"

    def step(value: Obj, at: Place, found: Found) -> None:
        number = value.get(field)
        if number is not None and not low <= number <= high:
            found.append(errors.invalid(at.to(field), number, told))

    return of_field(step, field)


def not_negative(*fields: str) -> Rule:
    def step(value: Obj, at: Place, found: Found) -> None:
        for field in fields:
            if (value.get(field) or 0) < 0:
                found.append(errors.invalid(at.to(field), value[field], NOT_NEGATIVE))

    return plain(step, *fields)


def more_than_nothing(*fields: str, text: str = "must be greater than 0") -> Rule:
    """Numbers that, where they are there, are greater than zero."""

    def step(value: Obj, at: Place, found: Found) -> None:
        for field in fields:
            number = value.get(field)
            if number is not None and number <= 0:
                found.append(errors.invalid(at.to(field), number, text))

    return plain(step, *fields)


def ports(*fields: str) -> Rule:
    """Numbers of ports, where they are not zero."""

    def step(value: Obj, at: Place, found: Found) -> None:
        for field in fields:
            number = value.get(field)
            if number and not 1 <= number <= 65535:
                found.append(errors.invalid(at.to(field), number, PORT_RANGE))

    return plain(step, *fields)


def at_most(field: str, limit: int) -> Rule:
    """A list of at most so many items."""

    def step(value: Obj, at: Place, found: Found) -> None:
        count = len(value.get(field) or ())
        if count > limit:
            found.append(errors.too_many(at.to(field), count, limit))

    return of_field(step, field)


def bounded(field: str, limit: int, *entries: Rule | str) -> Rule:
    """A list of at most so many items; entries are asked only of one that is no longer."""
    listed = [inside(entry) if isinstance(entry, str) else entry for entry in entries]

    def bind(node: Node, rules: Rows) -> Step:
        walk = rules.compiled(tuple(listed), node)

        def step(value: Obj, at: Place, found: Found) -> None:
            count = len(value.get(field) or ())
            if count > limit:
                found.append(errors.too_many(at.to(field), count, limit))
            else:
                walk(value, at, found)

        return step

    return Rule(bind, (field, *(name for entry in listed for name in entry.fields)), only_with=field)


def distinct(field: str, key: str = "") -> Rule:
    """No two items of a list are equal (in one of their fields): told of the item, and once the list was looked at."""

    def step(value: Obj, at: Place, found: Found) -> None:
        seen: set[Any] = set()
        for index, item in enumerate(value.get(field) or ()):
            shown = (item.get(key) or "") if key else item
            if shown in seen:
                found.append(errors.duplicate(f"{at.to(field)}[{index}]", shown))
            seen.add(shown)

    return of_field(step, field)


# --- changes ---


def immutable(*fields: str) -> Rule:
    """Fields that stay as they were made; the value shown is the new one."""

    def bind(node: Node, rules: Rows) -> Step:
        def step(value: Obj, at: Place, found: Found) -> None:
            if at.about.old is None:
                return
            before = at.old or {}
            for field in fields:
                now = value.get(field)
                if now != before.get(field):
                    found.append(errors.immutable(at.to(field), shown(node.fields[field], now)))

        return step

    return Rule(bind, fields)
