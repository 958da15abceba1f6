"""Expressions in schemas: each compiles, and together they cost no more than they may. Pure.

Source: the reference of x-kubernetes-validations; the limits and words are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from apimachinery import errors
from apimachinery.cel.estimation.ranges import MOST
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.apiextensions import internal, nodes
from controlplane.apiserver.structural import expressions
from controlplane.apiserver.structural.declared import Declared, DeclaredTypes, declared
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
    """How often values lie here at most, None where nobody says; within: the list in which none is found again."""

    often: int | None = 1
    within: str = ""
    root: bool = True


def check(schema: Obj, path: str, asked: nodes.Demands, kept: bool) -> Iterator[FieldError]:
    """What is wrong with the expressions of a structural schema. kept: it is as it was, and each may cost as much."""
    total = _Total()
    yield from _below(schema, path, _Place(), asked, kept, total)
    if total.cost > _WHOLE_COST:
        for _, place in total.most:
            text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            yield errors.field_forbidden(place, text)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield errors.field_forbidden(path, _over(what, total.cost, _WHOLE_COST))


def _below(
    schema: Obj, path: str, place: _Place, asked: nodes.Demands, kept: bool, total: _Total
) -> Iterator[FieldError]:
    inner = replace(asked, root=False)
    deeper = _Place(_often(schema, place.often), place.within, root=False)
    if (more := one(schema.get("additionalProperties"))) is not None:
        yield from _below(more, f"{path}.additionalProperties", deeper, inner, kept, total)
    for name, part in named(schema):
        yield from _below(part, f"{path}.properties[{name}]", deeper, inner, kept, total)
    if (items := one(schema.get("items"))) is not None:
        loses = "" if schema.get(LIST_TYPE) == "map" else path
        listed = replace(deeper, within=place.within or loses)
        yield from _below(items, f"{path}.items", listed, inner, kept, total)
    # Of what is not right in itself expressions have nothing to say that would help.
    if schema.get(VALIDATIONS) and not any(True for _ in nodes.check(schema, path, asked)):
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
    seen = declared(schema, place.root or bool(schema.get(EMBEDDED)))
    if seen is None:
        yield errors.internal(path, _NO_TYPES)
        return
    types = DeclaredTypes(seen)
    for index, given in enumerate(schema[VALIDATIONS]):
        yield from _rule(given, f"{path}[{index}]", expressions.compiled(given, seen, types), seen, place, kept, total)


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
