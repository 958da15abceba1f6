"""What a table is: columns, and a function from an object to its cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery.objects import Obj

Cells = Callable[[Obj, datetime], list[Any]]
# Conditions of a row: a finished pod says so, and clients may hide it.
Conditions = Callable[[Obj], list[dict[str, str]]]


@dataclass(frozen=True)
class Column:
    """One column. `doc` is its text, or `definition#property` for the text of that schema property.

    `priority` 0 is always shown, 1 only in wide output.
    """

    name: str
    doc: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    # Left out of the schema's text: upstream takes some from an older version of the type.
    cut: str = ""


@dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    cells: Cells
    conditions: Conditions | None = None


def text(name: str, doc: str) -> Column:
    return Column(name, doc)


def wide(name: str, doc: str) -> Column:
    return Column(name, doc, priority=1)


def number(name: str, doc: str) -> Column:
    return Column(name, doc, type="integer")


def flag(name: str, doc: str) -> Column:
    return Column(name, doc, type="boolean")


NAME = Column("Name", "meta.v1.ObjectMeta#name", format="name")
WIDE_NAME = Column("Name", "meta.v1.ObjectMeta#name", format="name", priority=1)
AGE = Column("Age", "meta.v1.ObjectMeta#creationTimestamp")
CREATED = Column("Created At", "meta.v1.ObjectMeta#creationTimestamp", type="date")
CONTAINERS = wide("Containers", "Names of each container in the template.")
IMAGES = wide("Images", "Images referenced by each container in the template.")
