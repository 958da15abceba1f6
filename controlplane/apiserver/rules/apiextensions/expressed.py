"""Expressions in schemas: each compiles, and together they cost no more than they may. Pure.

Source: the reference of x-kubernetes-validations; the limits and words are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace

from apimachinery import errors
from apimachinery.cel.estimation.ranges import MOST
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.expressions.published import escaped
from controlplane.apiserver.rules.apiextensions import internal
from controlplane.apiserver.structural import expressions
from controlplane.apiserver.structural.declared import Declared, DeclaredTypes, declared
from controlplane.apiserver.structural.node import META
from controlplane.apiserver.structural.reading import EMBEDDED, LIST_TYPE, VALIDATIONS, named, one

_EXPRESSION_COST, _WHOLE_COST = 10_000_000, 100_000_000
_TOLD = 4
_HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)
_NO_TYPES = (
    "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert "
    "structural schema to CEL declarations"
)


@dataclass
class _Total:
    """What all expressions of a schema cost together, and those that cost most, with their places."""

    cost: int = 0
    most: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: str, cost: int) -> None:
        self.cost = min(self.cost + cost, MOST)
        if cost >= _WHOLE_COST // 100:
            self.most = sorted((*self.most, (cost, path)), key=lambda each: -each[0])[:_TOLD]


@dataclass(frozen=True)
class _Place:
    """How often values lie here at most, None where nobody says; within: the list in which none is found again.

    seen: what expressions see of it, with the types of all that it is part of; None where they see nothing.
    """

    seen: _Seen | None
    often: int | None = 1
    within: str = ""
    root: bool = True


class _Seen:
    """What expressions see of a part, made once for all parts of a schema."""

    def __init__(self, here: Declared, types: DeclaredTypes) -> None:
        self.here, self.types = here, types

    def part(self, name: str, schema: Obj, of_whole: bool) -> _Seen | None:
        """A member. of_whole: of an object of the API, of which expressions see its own fields otherwise."""
        shown = escaped(name)
        return self._of(self.here.fields.get(shown) if shown and not (of_whole and name in META) else None, schema)

    def element(self, schema: Obj) -> _Seen | None:
        """What it holds."""
        return self._of(self.here.element, schema)

    def _of(self, part: Declared | None, schema: Obj) -> _Seen | None:
        return _Seen(part, self.types) if part is not None else _seen(schema, False)


def _seen(schema: Obj, root: bool) -> _Seen | None:
    here = declared(schema, root or bool(schema.get(EMBEDDED)))
    return _Seen(here, DeclaredTypes(here)) if here is not None else None


def check(schema: Obj, path: str, unlike: Set[int], kept: bool) -> Iterator[FieldError]:
    """What is wrong with the expressions of a structural schema. unlike: the ids of parts in which something else is
    wrong. kept: it is as it was, and each may cost as much.
    """
    total = _Total()
    yield from _below(schema, path, _Place(_seen(schema, True)), unlike, kept, total)
    if total.cost > _WHOLE_COST:
        for _, place in total.most:
            text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            yield errors.field_forbidden(place, text)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield errors.field_forbidden(path, _over(what, total.cost, _WHOLE_COST))


def _below(schema: Obj, path: str, place: _Place, unlike: Set[int], kept: bool, total: _Total) -> Iterator[FieldError]:
    seen, whole = place.seen, place.root or bool(schema.get(EMBEDDED))
    deeper = _Place(None, _often(schema, place.often), place.within, root=False)
    if (more := one(schema.get("additionalProperties"))) is not None:
        inner = replace(deeper, seen=_seen(more, False) if seen is None else seen.element(more))
        yield from _below(more, f"{path}.additionalProperties", inner, unlike, kept, total)
    for name, part in named(schema):
        inner = replace(deeper, seen=_seen(part, False) if seen is None else seen.part(name, part, whole))
        yield from _below(part, f"{path}.properties[{name}]", inner, unlike, kept, total)
    if (items := one(schema.get("items"))) is not None:
        loses = "" if schema.get(LIST_TYPE) == "map" else path
        listed = replace(
            deeper, within=place.within or loses, seen=_seen(items, False) if seen is None else seen.element(items)
        )
        yield from _below(items, f"{path}.items", listed, unlike, kept, total)
    # Of what is not right in itself expressions have nothing to say that would help.
    if schema.get(VALIDATIONS) and id(schema) not in unlike:
        yield from _rules(schema, f"{path}.{VALIDATIONS}", place, kept, total)


def _often(schema: Obj, often: int | None) -> int | None:
    """How often there can be a value in each of those of a schema."""
    kind = schema.get("type")
    if kind == "array":
        times = schema.get("maxItems")
    elif kind == "object" and schema.get("additionalProperties") is not None:
        times = schema.get("maxProperties")
    else:
        times = 1
    return None if often is None or times is None else min(often * max(times, 0), MOST)


def _rules(schema: Obj, path: str, place: _Place, kept: bool, total: _Total) -> Iterator[FieldError]:
    if (seen := place.seen) is None:
        yield errors.internal(path, _NO_TYPES)
        return
    alone: _Seen | None = None
    for index, given in enumerate(schema[VALIDATIONS]):
        rule = expressions.compiled(given, seen.here, seen.types)
        if rule.rule.wrong or (rule.message is not None and rule.message.wrong):
            # Complaints name the types as those of this place.
            alone = alone or _seen(schema, place.root)
            assert alone is not None
            rule = expressions.compiled(given, alone.here, alone.types)
        yield from _rule(given, f"{path}[{index}]", rule, seen.here, place, kept, total)


def _rule(
    given: Obj, path: str, rule: expressions.Rule, seen: Declared, place: _Place, kept: bool, total: _Total
) -> Iterator[FieldError]:
    often = seen.how_often() if place.often is None else place.often
    cost = min(rule.rule.cost * often, MOST)
    if not kept and cost > _EXPRESSION_COST:
        yield errors.field_forbidden(f"{path}.rule", _over("estimated rule cost", cost, _EXPRESSION_COST))
    total.add(f"{path}.rule", cost)
    if rule.rule.wrong:
        yield errors.invalid(f"{path}.rule", internal.rule(given), rule.rule.wrong)
    if (message := rule.message) is not None:
        where = f"{path}.messageExpression"
        if message.wrong:
            yield errors.invalid(where, internal.rule(given), message.wrong)
        else:
            if not kept and message.cost > _EXPRESSION_COST:
                text = _over("estimated messageExpression cost", message.cost, _EXPRESSION_COST)
                yield errors.field_forbidden(where, text)
            total.add(where, message.cost)
    if rule.rule.compares and place.within:
        text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.within}"
        yield errors.invalid(f"{path}.rule", given.get("rule") or "", text)
    elif not rule.rule.compares and given.get("optionalOldSelf") is not None:
        text = "may not be set if oldSelf is not used in rule"
        yield errors.invalid(f"{path}.optionalOldSelf", given["optionalOldSelf"], text)


def _over(what: str, cost: int, limit: int) -> str:
    times = cost / limit
    factor = "more than 100x" if times > 100 else f"{times:.6f}x" if times < 1.5 else f"{times:.1f}x"
    return f"{what} exceeds budget by factor of {factor} {_HINT}"
