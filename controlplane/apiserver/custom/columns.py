"""What a definition says of tables, and of fields that lists may select on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from apimachinery import jsonpath
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time
from controlplane.apiserver.cache.selectable import Getter, Selectable
from controlplane.apiserver.catalog.custom import ScalePaths
from controlplane.apiserver.structural import fieldpaths
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Column, Table

_UNSUPPORTED = "field label not supported: {path}"
_BIRTH = Column("Age", AGE.doc, type="date")
_DEFAULT = ((_BIRTH, ".metadata.creationTimestamp"),)
_REPLICAS = (
    (Column("Desired", "Number of desired replicas", type="integer"), ".spec.replicas"),
    (Column("Available", "Number of actual replicas", type="integer"), ".status.replicas"),
)

Cell = Callable[[Obj, datetime], Any]


def table(version: Obj) -> Table:
    """The columns of a version: the name, and those that it adds or else the age. One that cannot be read shows the
    name alone, as upstream.
    """
    added = [(_column(one), one["jsonPath"]) for one in version.get("additionalPrinterColumns") or ()]
    try:
        return _table(added or _DEFAULT)
    except jsonpath.JsonPathError:
        return _table(())


def scale(version: Obj) -> ScalePaths | None:
    """Where its Scale is; None where it has none."""
    found = (version.get("subresources") or {}).get("scale")
    if found is None:
        return None
    paths = (found.get(f"{one}Path") or "" for one in ("specReplicas", "statusReplicas", "labelSelector"))
    replicas, current, selector = (tuple(path.removeprefix(".").split(".")) if path else () for path in paths)
    shown = [*(one for one, path in zip(_REPLICAS, (replicas, current), strict=True) if path), *_DEFAULT]
    return ScalePaths(replicas, current, selector, _table(shown))


def fields(version: Obj) -> Selectable:
    """What lists and watches of it may select on beside names."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    paths = [one["jsonPath"] for one in version.get("selectableFields") or ()]
    return Selectable({path.removeprefix("."): _getter(path, schema) for path in paths}, _UNSUPPORTED)


def _getter(path: str, schema: Obj | None) -> Getter:
    """As the rules for definitions read the path: a name may have spaces and quotes in it."""
    names, _ = fieldpaths.follow(path, schema, indexed=False)

    def get(obj: Obj) -> str:
        found: Any = obj
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return jsonpath.printed(found) if found is not None else ""

    return get


def _column(given: Obj) -> Column:
    doc = given.get("description") or f"Custom resource definition column (in JSONPath format): {given['jsonPath']}"
    return Column(given["name"], doc, given["type"], given.get("format") or "", given.get("priority") or 0)


def _table(shown: Iterable[tuple[Column, str]]) -> Table:
    listed = list(shown)
    cells = [_cell(column.type, path) for column, path in listed]

    def row(obj: Obj, now: datetime) -> list[Any]:
        return [texts.name(obj), *(cell(obj, now) for cell in cells)]

    return Table((NAME, *(column for column, _ in listed)), row)


def _cell(kind: str, path: str) -> Cell:
    find = jsonpath.compiled(path)

    def cell(obj: Obj, now: datetime) -> Any:
        found = find(obj)
        if not found:
            return None
        return jsonpath.printed(found[0]) if kind == "string" else _typed(kind, found[0], now)

    return cell


def _typed(kind: str, value: Any, now: datetime) -> Any:
    """A value as its column's type has it; None where it is of another."""
    if kind in ("integer", "number") and type(value) in (int, float):
        return int(value) if kind == "integer" else value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "date" and isinstance(value, str):
        try:
            return texts.human_duration((now - parse_time(value)).total_seconds())
        except ValueError:
            return "<invalid>"
    return None
