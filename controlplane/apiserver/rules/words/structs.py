"""Words of whole structs: what crosses their fields, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Found, Hook, Place, Rows, Rule, Step, plain


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
