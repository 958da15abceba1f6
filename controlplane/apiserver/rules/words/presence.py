"""Words of whether fields are there, and stay as they are."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Found, Place, Rows, Rule, Step
from controlplane.apiserver.rules.shown import nothing, shown


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


def immutable(*fields: str) -> Rule:
    """Fields that stay as they were made; the value shown is the new one, of a plain type its zero for none."""

    def bind(node: Node, rules: Rows) -> Step:
        def step(value: Obj, at: Place, found: Found) -> None:
            if at.about.old is None:
                return
            before = at.old or {}
            for field in fields:
                now = value.get(field)
                if now != before.get(field):
                    told = written(value, field)
                    told = nothing(node, field) if told is None else shown(node.fields[field], told)
                    found.append(errors.immutable(at.to(field), told))

        return step

    return Rule(bind, fields)
