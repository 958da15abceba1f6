"""Whether a value is what a schema describes, in upstream's words. Pure.

Source: JSON Schema validation draft 4 as OpenAPI v3 has it; order and words as upstream's validator has them. A value
in which nothing is wrong is seen by `fitting`, and never comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery import errors, patterns
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, same
from controlplane.apiserver.structural import numbers, textformats
from controlplane.apiserver.structural.correlating import Correlated
from controlplane.apiserver.structural.limits import Told
from controlplane.apiserver.structural.reading import INT_OR_STRING, clauses, one, untyped

# What has no place of its own, and lies in no other.
_NOWHERE = "<nil>"


@dataclass
class _Result:
    """What was found wrong, by its text, and how many checks were made: of several schemas that fail, the one with most
    is told."""

    found: dict[str, FieldError] = field(default_factory=dict)
    checks: int = 0

    def add(self, other: _Result) -> None:
        for text, error in other.found.items():
            self.found.setdefault(text, error)
        self.checks += other.checks


def wrong(value: Any, schema: Obj, path: str, before: Correlated | None = None) -> list[FieldError]:
    """What is wrong with a value that stands at a path, no more than is told. before: what it was; what of it did not
    change is not told.
    """
    return list(_Judge(path).correlated(value, schema, "", before).found.values())


def types_of(schema: Obj) -> tuple[str, ...]:
    """The types that a value may have; none where any will do."""
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def form_of(schema: Obj) -> str:
    """The format that a value is held to; "" where it names none that upstream knows for its type."""
    types, form = types_of(schema), schema.get("format") or ""
    return form if form and textformats.known(form, types[0] if len(types) == 1 else "") else ""


class _Judge:
    """One value as a whole: names in texts are relative to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._told = Told()
        self._listed: dict[int, Callable[[Any], bool]] = {}

    def correlated(self, value: Any, schema: Obj, name: str, before: Correlated | None) -> _Result:
        count, length = self._told.count, self._told.length
        result = self.value(value, schema, name, before)
        if result.found and before is not None and before.same:
            self._told.count, self._told.length = count, length
            return _Result({}, result.checks)
        return result

    def _tell(self, result: _Result, text: str, error: FieldError) -> None:
        if text in result.found:
            return
        result.found[text] = error
        self._told.add(text, error.field, error.text)

    def value(self, value: Any, schema: Obj, name: str, before: Correlated | None = None) -> _Result:
        result = _Result()
        if self._told.enough:
            return result
        if types_of(schema) or form_of(schema) or value is None:
            fine = self._type(value, schema, name, result)
            result.checks += fine + (value is not None)
        if value is not None:
            self._combined(value, schema, name, result)
            if isinstance(value, str):
                self._text(value, schema, name, result)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                self._number(value, schema, name, result)
            elif isinstance(value, list):
                self._list(value, schema, name, result, before)
            result.checks += 2
        self._enum(value, schema, name, result)
        if isinstance(value, dict):
            self._map(value, schema, name, result, before)
        return result

    def _at(self, name: str) -> str:
        own = name.removeprefix(".")
        return (f"{self._path}.{own}" if self._path else own) if own else self._path or _NOWHERE

    def _invalid(self, result: _Result, name: str, value: Any, text: str) -> None:
        self._tell(result, text, errors.invalid(self._at(name), value, text))

    def _say(self, result: _Result, text: str) -> None:
        self._tell(result, text, errors.invalid(self._path or _NOWHERE, "", text))

    def _type(self, value: Any, schema: Obj, name: str, result: _Result) -> bool:
        types, form = types_of(schema), form_of(schema)
        if value is None:
            wanted, told = (",".join(types), "null") if types and not schema.get("nullable") else ("", "")
        else:
            wanted, told = mistyped(value, types, form)
        if wanted:
            text = f"{name} in body must be of type {wanted}: {errors.quoted(told)}"
            self._tell(result, text, errors.type_invalid(self._at(name), told, text))
        return not wanted

    def _text(self, value: str, schema: Obj, name: str, result: _Result) -> None:
        longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
        if longest is not None and len(value) > longest:
            text = f"{name} in body should be at most {longest} chars long"
            self._tell(result, text, errors.too_long(self._at(name), longest))
        elif shortest is not None and len(value) < shortest:
            self._invalid(result, name, value, f"{name} in body should be at least {shortest} chars long")
        elif pattern and ((form := patterns.compiled(pattern)) is None or not form.search(value)):
            why = f", but pattern is invalid: {patterns.complaint(pattern)}" if form is None else ""
            self._invalid(result, name, value, f"{name} in body should match '{pattern}{why}'")
        result.checks += 1
        if given := form_of(schema):
            judge = textformats.TEXTS.get(textformats.named(given))
            if judge is not None and not judge(value):
                text = f"{name} in body must be of type {given}: {errors.quoted(value)}"
                self._tell(result, text, errors.type_invalid(self._at(name), value, text))
            result.checks += judge is not None

    def _number(self, value: int | float, schema: Obj, name: str, result: _Result) -> None:
        types = types_of(schema)
        kind = types[0] if len(types) == 1 and types[0] in ("integer", "number") else ""
        for text, about in numbers.wrong(value, schema, kind, name):
            if about is ...:
                self._say(result, text)
            else:
                self._invalid(result, name, about, text)
        result.checks += 2

    def _enum(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        allowed = schema.get("enum")
        if not allowed:
            return
        if (listed := self._listed.get(id(allowed))) is None:
            listed = self._listed[id(allowed)] = among(allowed)
        if not listed(value):
            shown = [
                item if isinstance(item, str) else orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()
                for item in allowed
            ]
            text = f"{name} in body should be one of {shown}"
            self._tell(result, text, errors.not_supported(self._at(name), untyped(value), shown))

    def _list(self, value: list[Any], schema: Obj, name: str, result: _Result, before: Correlated | None) -> None:
        if (items := one(schema.get("items"))) is not None:
            for index, item in enumerate(value):
                was = before.index(index) if before is not None else None
                result.add(self.correlated(item, items, f"{name}[{index}]", was))
        least, most = schema.get("minItems"), schema.get("maxItems")
        if least is not None and len(value) < least:
            self._invalid(result, name, len(value), f"{name} in body should have at least {least} items")
        if most is not None and len(value) > most:
            text = f"{name} in body should have at most {most} items"
            self._tell(result, text, errors.too_many(self._at(name), len(value), most))
        result.checks += 2

    def _map(self, value: Obj, schema: Obj, name: str, result: _Result, before: Correlated | None) -> None:
        least, most, more = schema.get("minProperties"), schema.get("maxProperties"), schema.get("additionalProperties")
        if least is not None and len(value) < least:
            self._invalid(result, name, len(value), f"{name} in body should have at least {least} properties")
        if most is not None and len(value) > most:
            text = f"{name} in body should have at most {most} properties"
            self._tell(result, text, errors.too_many(self._at(name), len(value), most))
        known = schema.get("properties") or {}
        for key in sorted(key for key in value if key not in known):
            if self._told.enough:
                break
            if more is False:
                self._invalid(result, name, key, f"{name}.{key} in body is a forbidden property")
            elif (inner := one(more)) is not None:
                result.add(self.correlated(value[key], inner, f"{name}.{key}", _member(before, name, key)))
        for key in sorted(key for key in value if key in known):
            where = f"{name}.{key}" if name else key
            result.add(self.correlated(value[key], known[key], where, _member(before, name, key)))
        for key in schema.get("required") or ():
            if key not in value and not self._told.enough:
                text = f"{name}.{key} in body is required"
                self._tell(result, text, errors.required(self._at(f"{name}.{key}")))
        result.checks += 1

    # --- conditions ---

    def _combined(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        if self._told.enough:
            return
        shown = errors.quoted(name)
        self._any(value, schema, name, result)
        self._exactly_one(value, schema, name, result)
        told = [self.value(value, clause, name) for clause in clauses(schema, "allOf")]
        for one_told in told:
            result.add(one_told)
        if failed := [one_told for one_told in told if one_told.found]:
            rest = ". None validated" if len(failed) == len(told) else ""
            self._say(result, f"{shown} must validate all the schemas (allOf){rest}")
        for clause in clauses(schema, "not"):
            if not self._supposed(value, clause, name).found:
                self._say(result, f"{shown} must not validate the schema (not)")
        result.checks += 2

    def _any(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        told: list[_Result] = []
        for clause in clauses(schema, "anyOf"):
            told.append(self._supposed(value, clause, name))
            if not told[-1].found:
                result.add(told[-1])
                return
        if told:
            self._say(result, f"{errors.quoted(name)} must validate at least one schema (anyOf)")
            self._keep(result, max(told, key=lambda one_told: one_told.checks))

    def _exactly_one(self, value: Any, schema: Obj, name: str, result: _Result) -> None:
        told = [self._supposed(value, clause, name) for clause in clauses(schema, "oneOf")]
        valid = [one_told for one_told in told if not one_told.found]
        if len(valid) == 1:
            result.add(valid[0])
        elif told:
            what = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
            self._say(result, f"{errors.quoted(name)} must validate one and only one schema (oneOf). {what}")
            if not valid:
                self._keep(result, max(told, key=lambda one_told: one_told.checks))

    def _supposed(self, value: Any, clause: Obj, name: str) -> _Result:
        """What a clause has against a value, which may be of no account."""
        count, length = self._told.count, self._told.length
        result = self.value(value, clause, name)
        self._told.count, self._told.length = count, length
        return result

    def _keep(self, result: _Result, supposed: _Result) -> None:
        for text, error in supposed.found.items():
            self._tell(result, text, error)
        result.checks += supposed.checks


def _member(before: Correlated | None, name: str, key: str) -> Correlated | None:
    """What a member was. The type of the whole is never what it was: another version shows it as its own."""
    return None if before is None or (not name and key in ("apiVersion", "kind")) else before.key(key)


def mistyped(value: Any, types: tuple[str, ...], form: str) -> tuple[str, str]:
    """The type that was wanted of a value and the one it has; "" for both where it fits."""
    kind, given = _kind(value)
    if kind in types or (kind == "integer" and "number" in types):
        return "", ""
    if kind == "number" and "integer" in types and numbers.is_whole(float(value)):
        return "", ""
    if form and kind not in ("string", "array"):
        return form, given
    if form and kind in ("string", "array") and not {"number", "integer"} & set(types):
        return "", ""
    return (",".join(types), kind) if types or form else ("", "")


def among(allowed: list[Any]) -> Callable[[Any], bool]:
    """A function that says whether a value is one of an enumeration; numbers are made of the kind that it lists."""
    plain = {kind: frozenset(each for each in allowed if type(each) is kind) for kind in (str, int, float, bool)}
    others = [each for each in allowed if isinstance(each, dict | list)]

    def listed(value: Any) -> bool:
        if type(value) in (int, float):
            return int(value) in plain[int] or float(value) in plain[float]
        known = plain.get(type(value))
        return value in known if known is not None else any(same(value, each) for each in others)

    return listed


def _kind(value: Any) -> tuple[str, str]:
    """A value's type, and the format of numbers."""
    if isinstance(value, bool):
        return "boolean", ""
    if isinstance(value, int):
        return "integer", "int64"
    if isinstance(value, float):
        return "number", "float64"
    return ("string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"), ""
