"""Table and PartialObjectMetadata objects as JSON values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import lru_cache

from apimachinery.objects import Obj
from apimachinery.schema import Schema
from controlplane.apiserver.tables.spec import Column, Table

META = "meta.k8s.io/v1"
Shown = Callable[[Obj], Obj] | None

_REFERENCE = re.compile(r"[\w.]+#\w+")
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _column(column: Column) -> Obj:
    text = description(column.doc).replace(column.cut, "") if _REFERENCE.fullmatch(column.doc) else column.doc
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": text,
        "priority": column.priority,
    }


def description(reference: str) -> str:
    """The text of `core.v1.PodStatus#podIP`: a definition without its prefix, and one of its properties."""
    short, _, field = reference.partition("#")
    for prefix in ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis."):
        if found := Schema.load().definitions.get(prefix + short):
            return str(found["properties"][field].get("description", ""))
    raise KeyError(reference)


@lru_cache(maxsize=256)
def column_definitions(table: Table) -> tuple[Obj, ...]:
    """The columnDefinitions of a table; shared, never to be changed."""
    return tuple(_column(column) for column in table.columns)


def partial(obj: Obj, version: str = META) -> Obj:
    """The PartialObjectMetadata of an object: its metadata and nothing else."""
    metadata = obj.get("metadata", {})
    if obj.get("kind") == "DaemonSet":
        metadata = _without_generation(metadata)
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata}


def _without_generation(metadata: Obj) -> Obj:
    """Upstream writes this annotation where it shows a whole DaemonSet, and nowhere else."""
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != _TEMPLATE_GENERATION}
    rest = {k: v for k, v in metadata.items() if k != "annotations"}
    return {**rest, "annotations": annotations} if annotations else rest


def row(table: Table, obj: Obj, now: datetime, include: str, version: str = META, shown: Shown = None) -> Obj:
    """One row; `include` is the includeObject parameter: None, Metadata (the default) or Object, which is `shown` as
    the client's version has it.
    """
    out: Obj = {"cells": table.cells(obj, now)}
    if table.conditions and (found := table.conditions(obj)):
        out["conditions"] = found
    if include == "Object":
        out["object"] = obj if shown is None else shown(obj)
    else:
        out["object"] = None if include == "None" else partial(obj, version)
    return out


def render(
    table: Table,
    items: Sequence[Obj],
    metadata: Obj,
    now: datetime,
    include: str = "Metadata",
    columns: bool = True,
    version: str = META,
    shown: Shown = None,
) -> Obj:
    """Some objects of one kind as a Table.

    Without `columns` (later events of a watch) the definitions are null.
    """
    return {
        "kind": "Table",
        "apiVersion": version,
        "metadata": metadata,
        "columnDefinitions": list(column_definitions(table)) if columns else None,
        "rows": [row(table, item, now, include, version, shown) for item in items],
    }


def single_metadata(obj: Obj) -> Obj:
    """The ListMeta of a table made of one object: its resource version."""
    version = obj["metadata"].get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def utc_now() -> datetime:
    return datetime.now(timezone.utc)
