"""The numbers and the selector that a scale subresource reads from an object. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.patch.directives import go_text

_MOST = 2**31 - 1
_GO = {str: "string", bool: "bool", int: "int64", float: "float64", list: "[]interface {}"}


def check(obj: Obj, scale: Obj | None, status: bool = False) -> list[FieldError]:
    """What is wrong with them; scale: the definition's subresource. status: only the status is written."""
    if scale is None:
        return []
    found = [] if status else list(_number(obj, scale["specReplicasPath"]))
    found += _number(obj, scale["statusReplicasPath"])
    if path := scale.get("labelSelectorPath"):
        try:
            if (value := at(obj, path)) is not ... and not isinstance(value, str):
                raise ValueError(_not(path, value, "string"))
        except ValueError as error:
            found.append(errors.invalid(path, "", str(error)))
    return found


def _number(obj: Obj, path: str) -> Iterator[FieldError]:
    try:
        value = at(obj, path)
        if value is not ... and type(value) is not int:
            raise ValueError(_not(path, value, "int64"))
    except ValueError as error:
        yield errors.invalid(path, 0, str(error))
        return
    if value is not ... and value < 0:
        yield errors.invalid(path, value, "should be a non-negative integer")
    elif value is not ... and value > _MOST:
        yield errors.invalid(path, value, f"should be less than or equal to {_MOST}")


def at(obj: Obj, path: str) -> Any:
    """What lies at a path in dot notation; ... where nothing does. Raises ValueError with upstream's words."""
    value: Any = obj
    names = path.removeprefix(".").split(".")
    for depth, name in enumerate(names):
        if value is None:
            return ...
        if not isinstance(value, dict):
            raise ValueError(_not(".".join(("", *names[: depth + 1])), value, "map[string]interface{}"))
        if name not in value:
            return ...
        value = value[name]
    return value


def _not(path: str, value: Any, wanted: str) -> str:
    kind = "<nil>" if value is None else _GO.get(type(value), "map[string]interface {}")
    return f"{path} accessor error: {go_text(value)} is of the type {kind}, expected {wanted}"
