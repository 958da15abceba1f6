"""Which kind has which table, and Table and PartialObjectMetadata objects as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from apimachinery.kinds import Kind
from apimachinery.timestamps import parse_time
from controlplane.apiserver.openapi.schemas import description
from controlplane.apiserver.tables import cluster, core, network, pods, storage, texts, workloads
from controlplane.apiserver.tables.spec import CREATED, NAME, Column, Obj, Table

META = "meta.k8s.io/v1"


def _default_cells(obj: Obj, now: datetime) -> list[Any]:
    stamp = obj["metadata"].get("creationTimestamp")
    return [texts.name(obj), parse_time(stamp).strftime("%Y-%m-%dT%H:%M:%SZ") if stamp else None]


# Kinds for which upstream has no columns of its own show their name and birth.
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
DEFAULT = Table(columns=(NAME, CREATED), cells=_default_cells)

TABLES: Mapping[str, Table] = {
    "pods": pods.PODS,
    **workloads.TABLES,
    **core.TABLES,
    **storage.TABLES,
    **network.TABLES,
    **cluster.TABLES,
}


def table_of(resource: str) -> Table:
    """The table of a resource named as in messages ("pods", "deployments.apps")."""
    return TABLES.get(resource, DEFAULT)


def _column(column: Column) -> Obj:
    text = description(column.doc).replace(column.cut, "") if "#" in column.doc else column.doc
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": text,
        "priority": column.priority,
    }


@lru_cache(maxsize=256)
def column_definitions(resource: str) -> tuple[Obj, ...]:
    """The columnDefinitions of a resource's table; shared, never to be changed."""
    return tuple(_column(column) for column in table_of(resource).columns)


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


def row(table: Table, obj: Obj, now: datetime, include: str, version: str = META) -> Obj:
    """One row; `include` is the includeObject parameter: None, Metadata (the default) or Object."""
    out: Obj = {"cells": table.cells(obj, now)}
    if table.conditions and (found := table.conditions(obj)):
        out["conditions"] = found
    out["object"] = None if include == "None" else obj if include == "Object" else partial(obj, version)
    return out


def render(
    kind: Kind,
    items: Sequence[Obj],
    metadata: Obj,
    now: datetime,
    include: str = "Metadata",
    columns: bool = True,
    version: str = META,
) -> Obj:
    """The Table of some objects of one kind.

    Without `columns` (later events of a watch) the definitions are null.
    """
    table = table_of(kind.resource)
    return {
        "kind": "Table",
        "apiVersion": version,
        "metadata": metadata,
        "columnDefinitions": list(column_definitions(kind.resource)) if columns else None,
        "rows": [row(table, item, now, include, version) for item in items],
    }


def single_metadata(obj: Obj) -> Obj:
    """The ListMeta of a table made of one object: its resource version."""
    version = obj["metadata"].get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def utc_now() -> datetime:
    return datetime.now(timezone.utc)
