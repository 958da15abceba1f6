"""The table of kinds for which upstream has no columns of its own: their name and birth."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import CREATED, NAME, Table


def _cells(obj: Obj, now: datetime) -> list[Any]:
    stamp = obj["metadata"].get("creationTimestamp")
    return [texts.name(obj), parse_time(stamp).strftime("%Y-%m-%dT%H:%M:%SZ") if stamp else None]


NAME_AND_BIRTH = Table(columns=(NAME, CREATED), cells=_cells)
