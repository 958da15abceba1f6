"""The quick pass over a value: one closure for each place of a schema, compiled once, that says whether all is well.

Pure. It agrees with `conforming` on everything but the words, which only a value with a fault pays for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import patterns
from apimachinery.objects import Obj
from controlplane.apiserver.structural import numbers, textformats
from controlplane.apiserver.structural.conforming import among, form_of, mistyped, types_of
from controlplane.apiserver.structural.reading import clauses, one

Fits = Callable[[Any], bool]
# The values that are of a type without a second look.
_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def compiled(schema: Obj) -> Fits:
    """A function that says whether nothing is wrong with a value."""
    checks = [check for make in (_condition, _enum) if (check := make(schema)) is not None]
    typed = _typed(schema)
    by_type: dict[type, list[Fits]] = {str: _text(schema), list: _list(schema), dict: _map(schema)}
    by_type[int] = by_type[float] = _number(schema)
    nullable = bool(schema.get("nullable")) or not types_of(schema)
    no_null = not nullable or bool(schema.get("enum"))
    single = {kind: made[0] for kind, made in by_type.items() if len(made) == 1}
    if not checks and all(len(made) < 2 for made in by_type.values()):

        def quick(value: Any) -> bool:
            if value is None:
                return not no_null
            if not typed(value):
                return False
            more = single.get(type(value))
            return more is None or more(value)

        return quick

    def fits(value: Any) -> bool:
        if value is None:
            return not no_null
        if not typed(value):
            return False
        more = by_type.get(type(value))
        if more is not None and not all(check(value) for check in more):
            return False
        return all(check(value) for check in checks)

    return fits


def _typed(schema: Obj) -> Fits:
    types, form = types_of(schema), form_of(schema)
    plain = frozenset(kind for name in types for kind in _PLAIN.get(name, ()))
    if not types and not form:
        return lambda value: True
    return lambda value: type(value) in plain or not mistyped(value, types, form)[0]


def _enum(schema: Obj) -> Fits | None:
    allowed = schema.get("enum")
    if not allowed:
        return None
    return among(allowed)


def _condition(schema: Obj) -> Fits | None:
    every = [compiled(clause) for clause in clauses(schema, "allOf")]
    some = [compiled(clause) for clause in clauses(schema, "anyOf")]
    single = [compiled(clause) for clause in clauses(schema, "oneOf")]
    none = [compiled(clause) for clause in clauses(schema, "not")]
    if not (every or some or single or none):
        return None

    def holds(value: Any) -> bool:
        return (
            all(clause(value) for clause in every)
            and (not some or any(clause(value) for clause in some))
            and (not single or sum(clause(value) for clause in single) == 1)
            and not any(clause(value) for clause in none)
        )

    return holds


def _text(schema: Obj) -> list[Fits]:
    found: list[Fits] = []
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None or shortest is not None:
        least, most = shortest or 0, float("inf") if longest is None else longest
        found.append(lambda value: least <= len(value) <= most)
    if pattern:
        form = patterns.compiled(pattern)
        found.append(lambda value: form is not None and form.search(value) is not None)
    if (judge := textformats.TEXTS.get(textformats.named(form_of(schema)))) is not None:
        found.append(judge)
    return found


def _number(schema: Obj) -> list[Fits]:
    types = types_of(schema)
    kind = types[0] if len(types) == 1 and types[0] in ("integer", "number") else ""
    bounded = any(schema.get(key) is not None for key in ("multipleOf", "minimum", "maximum"))
    if not bounded and kind != "integer" and form_of(schema) != "float":
        return []
    return [lambda value: next(numbers.wrong(value, schema, kind, ""), None) is None]


def _list(schema: Obj) -> list[Fits]:
    found: list[Fits] = []
    least, most = schema.get("minItems") or 0, schema.get("maxItems")
    if least or most is not None:
        limit = float("inf") if most is None else most
        found.append(lambda value: least <= len(value) <= limit)
    if (items := one(schema.get("items"))) is not None:
        item = compiled(items)
        found.append(lambda value: all(map(item, value)))
    return found


def _map(schema: Obj) -> list[Fits]:
    found: list[Fits] = []
    least, most = schema.get("minProperties") or 0, schema.get("maxProperties")
    if least or most is not None:
        limit = float("inf") if most is None else most
        found.append(lambda value: least <= len(value) <= limit)
    if required := frozenset(schema.get("required") or ()):
        found.append(lambda value: required <= value.keys())
    more = schema.get("additionalProperties")
    known = {name: compiled(part) for name, part in (schema.get("properties") or {}).items()}
    if more is False:
        found.append(lambda value: value.keys() <= known.keys())
    inner = one(more)
    other = compiled(inner) if inner is not None else None
    if known or other is not None:
        found.append(_members(known, other))
    return found


def _members(known: dict[str, Fits], other: Fits | None) -> Fits:
    def fit(value: Obj) -> bool:
        for name, item in value.items():
            check = known.get(name, other)
            if check is not None and not check(item):
                return False
        return True

    return fit
