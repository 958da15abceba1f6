"""Defaults in schemas: each is pruned already and is what its schema describes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import errors, jsontext
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, same
from controlplane.apiserver.structural import conforming, embedded, pruning, validations
from controlplane.apiserver.structural.node import META, Structural
from controlplane.apiserver.structural.reading import everything, untyped

# An object with a value at one place, and nothing else.
_Around = Callable[[Any], Any]
_TYPE = {"apiVersion": "validation/v1", "kind": "Validation"}


def check(schema: Obj, path: str, pruned: bool) -> list[FieldError]:
    """What is wrong with the defaults in a structural schema. pruned: they may hold nothing that is not described."""
    checker = _Checker(pruned)
    root = Structural(schema)
    root.embedded = True
    checker.below(root, path, root, _itself, False)
    return checker.found


def _itself(value: Any) -> Any:
    return {**_TYPE, **value} if isinstance(value, dict) else value


class _Checker:
    def __init__(self, pruned: bool) -> None:
        self.found: list[FieldError] = []
        self._pruned = pruned
        self._purse = validations.Purse()

    def below(self, schema: Structural, path: str, root: Structural, around: _Around, in_meta: bool) -> None:
        """in_meta: this is of an object's own fields. around: makes that object, as far as it leads here."""
        if schema.embedded:
            root, around, in_meta = schema, _itself, False
        if schema.default is not None:
            self.found += self._default(schema, f"{path}.default", root, around if in_meta else None)
        if schema.items is not None:
            self.below(schema.items, f"{path}.items", root, lambda value: around([value]), in_meta)
        for name, part in sorted(schema.properties.items()):
            inner = in_meta or (schema.embedded and name in META)
            where = f"{path}.properties[{name}]"
            self.below(part, where, root, lambda value, name=name: around({name: value}), inner)  # type: ignore[misc]

    def _default(self, schema: Structural, path: str, root: Structural, around: _Around | None) -> list[FieldError]:
        value = schema.default
        found: list[FieldError] = []
        if around is not None:
            if why := _no_metadata(around(jsontext.copied(value)), root):
                return [errors.invalid(path, untyped(value), f"must result in valid metadata: {why}")]
        else:
            if self._pruned and not _is_pruned(value, schema):
                found.append(errors.invalid(path, untyped(value), "must not have unknown fields"))
            try:
                embedded.coerce(jsontext.copied(value), schema, whole=schema.embedded, path=path)
            except embedded.Malformed as error:
                return [*found, error.error(path)]
            if wrong := embedded.check(value, schema, path, schema.embedded):
                return [*found, *wrong]
        if wrong := conforming.wrong(value, schema.raw, path):
            return [*found, *wrong]
        return [*found, *self._ruled(value, schema, path, schema is root)]

    def _ruled(self, value: Any, schema: Structural, path: str, whole: bool) -> list[FieldError]:
        """As a change that changes nothing, and as what nothing was there before."""
        rules = validations.validations(schema, whole)
        if rules is None:
            return []
        told = validations.check(rules, value, value, None, self._purse, path).errors
        return told or validations.check(rules, value, None, None, self._purse, path).errors


def _no_metadata(obj: Any, root: Structural) -> str:
    try:
        embedded.coerce(obj, root, whole=True)
    except embedded.Malformed as error:
        return str(error)
    wrong = embedded.check(obj, root, whole=True)
    texts = [str(error) for error in wrong]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""


def all_pruned(schemas: list[Obj]) -> bool:
    """Whether no default in these schemas holds what they do not describe."""
    return all(
        _is_pruned(node["default"], Structural(node))
        for schema in schemas
        for node in everything(schema)
        if node.get("default") is not None
    )


def _is_pruned(value: Any, schema: Structural) -> bool:
    left = jsontext.copied(value)
    pruning.prune(left, schema, whole=schema.embedded)
    return same(left, value)
