"""Objects of the API inside a custom resource: their type and metadata are as those of any object. Pure.

Source: the reference of x-kubernetes-embedded-resource; words are those of upstream's decoder and validation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from apimachinery import errors, formats, jsontext, objectmeta
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.schema import Schema, Walker
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.structural.limits import Path, Unknown, written
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.reading import untyped

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Metadata that is checked as a whole has a name; that of an embedded object need not have one.
_ANY_NAME = "fakename"


class Malformed(ValueError):
    """An object is not even one of the API; the text is upstream's."""

    def __init__(self, text: str, found: FieldError | None = None) -> None:
        super().__init__(text if found is None else str(found))
        self._found = found

    def error(self, path: str) -> FieldError:
        """As one of those that are wrong with a value at a path."""
        return self._found if self._found is not None else errors.invalid(path, None, str(self))


@cache
def _walker() -> Walker:
    return Walker(Schema.load().type(_METADATA))


def read_metadata(obj: Obj, path: str, lenient: bool) -> list[str]:
    """Metadata made what the API would hold, in place; the paths of unknown fields.

    lenient: what is of a wrong type is dropped. Raises Malformed.
    """
    if "metadata" not in obj:
        return []
    given = obj["metadata"]
    if given is None:
        obj["metadata"] = {}
        return []
    if not isinstance(given, dict):
        if lenient:
            raise Malformed(f"invalid metadata: expected object, got {_GO.get(type(given), 'float64')}")
        raise Malformed(_walker().check(given).error)
    # A refusal shows what was given, and what is not refused is looked at field by field: the check changes its own.
    made = jsontext.copied(given)
    findings = _walker().check(made)
    unknown = findings.unknown
    if findings.error and not lenient:
        raise Malformed(findings.error)
    if findings.error:
        made, unknown = {}, ()
        for name in given:
            single = {name: jsontext.copied(given[name])}
            if not (found := _walker().check(single)).error:
                made |= single
                unknown += found.unknown
    obj["metadata"] = {name: value for name, value in made.items() if value not in ({}, [])}
    return [f"{path}.{name}" for name in unknown]


_GO = {str: "string", bool: "bool", int: "int64", list: "[]interface {}"}


def coerce(
    value: Any, schema: Structural | None, lenient: bool = False, whole: bool = False, path: str = ""
) -> list[str]:
    """The type and metadata of embedded objects made what the API would hold, in place; unknown paths, sorted and no
    more than are told.

    lenient: what is of a wrong type is dropped. whole: the value is an object itself. Raises Malformed.
    """
    told = Unknown()
    if schema is not None and (whole or schema.embeds):
        _coerce(value, schema, (None, path) if path else None, whole, lenient, told)
    return sorted(told.paths)


def _coerce(value: Any, schema: Structural, path: Path, whole: bool, lenient: bool, told: Unknown) -> None:
    if isinstance(value, dict):
        if whole or schema.embedded:
            _object(value, path, lenient, told)
        for name, item in value.items():
            part = schema.below(name)
            if part is not None and part.embeds:
                step = f".{name}" if name in schema.properties else f"[{name}]"
                _coerce(item, part, (path, step), False, lenient, told)
    elif isinstance(value, list) and schema.items is not None and schema.items.embeds:
        for index, item in enumerate(value):
            _coerce(item, schema.items, (path, f"[{index}]"), False, lenient, told)


def _member(path: str, name: str, schema: Structural) -> str:
    if name in schema.properties:
        return f"{path}.{name}" if path else name
    return f"{path}[{name}]"


def _object(value: Obj, path: Path, lenient: bool, told: Unknown) -> None:
    for name in ("apiVersion", "kind"):
        if name in value and not isinstance(value[name], str):
            if not lenient:
                where = written((path, f".{name}"))
                raise Malformed("", errors.invalid(where, untyped(value[name]), "must be a string"))
            del value[name]
    try:
        for name in read_metadata(value, "metadata", lenient):
            told.tell(path, name)
    except Malformed as error:
        if not lenient:
            where = written((path, ".metadata"))
            raise Malformed("", errors.invalid(where, untyped(value["metadata"]), str(error))) from None


# --- validation ---


def check(value: Any, schema: Structural | None, path: str = "", whole: bool = False) -> list[FieldError]:
    """What is wrong with embedded objects; whole: with the value itself, too."""
    found: list[FieldError] = []
    if schema is not None and (whole or schema.embeds):
        _check(value, schema, path, whole, found)
    return found


def _check(value: Any, schema: Structural, path: str, whole: bool, found: list[FieldError]) -> None:
    if isinstance(value, dict):
        if whole or schema.embedded:
            found += _embedded(value, path)
        for name in sorted(value):
            part = schema.below(name)
            if part is not None and part.embeds:
                _check(value[name], part, _member(path, name, schema), False, found)
    elif isinstance(value, list) and schema.items is not None and schema.items.embeds:
        for index, item in enumerate(value):
            _check(item, schema.items, f"{path}[{index}]", False, found)


def _embedded(value: Obj, path: str) -> list[FieldError]:
    found = [errors.required(_at(path, name)) for name in ("apiVersion", "kind") if name not in value]
    for name, wrong in (("apiVersion", _version), ("kind", _kind)):
        if name not in value:
            continue
        given, where = value[name], _at(path, name)
        if not isinstance(given, str):
            found.append(errors.invalid(where, untyped(given), "must be a string"))
        elif not given:
            found.append(errors.invalid(where, given, "must not be empty"))
        elif text := wrong(given):
            found.append(errors.invalid(where, given, text))
    if "metadata" in value:
        found += _metadata(value, _at(path, "metadata"))
    return found


def _metadata(value: Obj, where: str) -> list[FieldError]:
    single: Obj = {"metadata": value["metadata"]}
    try:
        read_metadata(single, where, lenient=False)
    except Malformed as error:
        return [errors.invalid(where, untyped(value["metadata"]), str(error))]
    meta = {**single["metadata"], "name": single["metadata"].get("name") or _ANY_NAME}
    return objectmeta.check(meta, where, bool(meta.get("namespace")), path_segment)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _version(given: str) -> str:
    return f"unexpected GroupVersion string: {given}" if given.count("/") > 1 else ""


def _kind(given: str) -> str:
    texts = formats.dns1035_label(given.lower())
    return "may have mixed case, but should otherwise match: " + ",".join(texts) if texts else ""
