"""Whether a value is what a schema describes, in upstream's words. Pure.

Source: JSON Schema validation draft 4 as OpenAPI v3 has it; order and words as upstream's validator has them. Formats
of texts are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery import errors, patterns
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, same
from controlplane.apiserver.structural.reading import INT_OR_STRING, clauses, named, one


@dataclass
class _Result:
    """What was found wrong, and how many checks were made: of several schemas that fail, the one with most is told."""

    found: list[FieldError] = field(default_factory=list)
    checks: int = 0

    def add(self, other: _Result) -> None:
        self.found += other.found
        self.checks += other.checks


def wrong(value: Any, schema: Obj, path: str) -> list[FieldError]:
    """What is wrong with a value that stands at a path."""
    return _Judge(path).value(value, schema, "").found


class _Judge:
    """One value as a whole: names in texts are relative to it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def value(self, value: Any, schema: Obj, name: str) -> _Result:
        result = _Result(list(self._type(value, schema, name)), 1)
        if value is not None:
            self._combined(value, schema, name, result)
            for check in (self._text, self._number):
                result.found += check(value, schema, name)
                result.checks += 1
            if isinstance(value, list):
                self._list(value, schema, name, result)
        result.found += self._enum(value, schema, name)
        if isinstance(value, dict):
            self._map(value, schema, name, result)
        result.checks += 1
        return result

    def _at(self, name: str) -> str:
        return f"{self._path}.{name.removeprefix('.')}" if name else self._path

    def _invalid(self, name: str, value: Any, what: str) -> FieldError:
        return errors.invalid(self._at(name), value, f"{name} in body {what}")

    def _type(self, value: Any, schema: Obj, name: str) -> Iterator[FieldError]:
        wanted = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
        if not wanted or (value is None and schema.get("nullable")):
            return
        kind = _kind(value)
        whole = kind == "number" and float(value).is_integer() and "integer" in wanted
        if kind not in wanted and not whole and not (kind == "integer" and "number" in wanted):
            text = f'{name} in body must be of type {",".join(wanted)}: "{kind}"'
            yield errors.type_invalid(self._at(name), kind, text)

    def _text(self, value: Any, schema: Obj, name: str) -> Iterator[FieldError]:
        if not isinstance(value, str):
            return
        longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
        if longest is not None and len(value) > longest:
            yield errors.too_long(self._at(name), longest)
        elif shortest is not None and len(value) < shortest:
            yield self._invalid(name, value, f"should be at least {shortest} chars long")
        elif pattern and (form := patterns.compiled(pattern)) is not None and not form.search(value):
            yield self._invalid(name, value, f"should match '{pattern}'")

    def _number(self, value: Any, schema: Obj, name: str) -> Iterator[FieldError]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        step, least, most = (schema.get(key) for key in ("multipleOf", "minimum", "maximum"))
        if step and (value / step) % 1:
            yield self._invalid(name, value, f"should be a multiple of {_shown(step)}")
        if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
            than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
            yield self._invalid(name, value, f"should be {than} {_shown(least)}")
        if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
            than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
            yield self._invalid(name, value, f"should be {than} {_shown(most)}")

    def _enum(self, value: Any, schema: Obj, name: str) -> Iterator[FieldError]:
        allowed = schema.get("enum")
        if value is None and schema.get("nullable"):
            return
        if allowed and not any(_equal(value, each) for each in allowed):
            shown = [item if isinstance(item, str) else orjson.dumps(item).decode() for item in allowed]
            yield errors.not_supported(self._at(name), value, shown)

    def _list(self, value: list[Any], schema: Obj, name: str, result: _Result) -> None:
        if (items := one(schema.get("items"))) is not None:
            for index, item in enumerate(value):
                result.add(self.value(item, items, f"{name}[{index}]"))
        least, most = schema.get("minItems"), schema.get("maxItems")
        if least is not None and len(value) < least:
            result.found.append(self._invalid(name, len(value), f"should have at least {least} items"))
        if most is not None and len(value) > most:
            result.found.append(errors.too_many(self._at(name), len(value), most))
        result.checks += 1

    def _map(self, value: Obj, schema: Obj, name: str, result: _Result) -> None:
        least, most, more = schema.get("minProperties"), schema.get("maxProperties"), schema.get("additionalProperties")
        if least is not None and len(value) < least:
            result.found.append(self._invalid(name, len(value), f"should have at least {least} properties"))
        if most is not None and len(value) > most:
            result.found.append(errors.too_many(self._at(name), len(value), most))
        known = dict(named(schema))
        for key in sorted(value.keys() - known.keys()):
            if more is False:
                text = f"{name}.{key} in body is a forbidden property"
                result.found.append(errors.invalid(self._at(name), key, text))
            elif (inner := one(more)) is not None:
                result.add(self.value(value[key], inner, f"{name}.{key}"))
        for key, part in known.items():
            if key in value:
                result.add(self.value(value[key], part, f"{name}.{key}" if name else key))
        for key in schema.get("required") or ():
            if key not in value:
                result.found.append(errors.required(self._at(f"{name}.{key}")))

    # --- conditions ---

    def _combined(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        self._any(value, schema, name, result)
        self._exactly_one(value, schema, name, result)
        told = [self.value(value, clause, name) for clause in clauses(schema, "allOf")]
        for one_told in told:
            result.add(one_told)
        if failed := [one_told for one_told in told if one_told.found]:
            rest = ". None validated" if len(failed) == len(told) else ""
            self._say(result, f'"{name}" must validate all the schemas (allOf){rest}')
        for clause in clauses(schema, "not"):
            if not self.value(value, clause, name).found:
                self._say(result, f'"{name}" must not validate the schema (not)')
        result.checks += 1

    def _say(self, result: _Result, text: str) -> None:
        result.found.append(errors.invalid(self._path, "", text))

    def _any(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        told = [self.value(value, clause, name) for clause in clauses(schema, "anyOf")]
        if told and all(one_told.found for one_told in told):
            self._say(result, f'"{name}" must validate at least one schema (anyOf)')
            result.add(max(told, key=lambda one_told: one_told.checks))

    def _exactly_one(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        told = [self.value(value, clause, name) for clause in clauses(schema, "oneOf")]
        valid = sum(not one_told.found for one_told in told)
        if not told or valid == 1:
            return
        what = f"Found {valid} valid alternatives" if valid else "Found none valid"
        self._say(result, f'"{name}" must validate one and only one schema (oneOf). {what}')
        if not valid:
            result.add(max(told, key=lambda one_told: one_told.checks))


def _equal(left: Any, right: Any) -> bool:
    """Numbers are compared as numbers, as 1 and 1.0; true is none."""
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (left, right))
    return left == right if numbers else same(left, right)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "integer", float: "number", list: "array"}
    return kinds.get(type(value), "object")


def _shown(number: float) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e21 else repr(number)
