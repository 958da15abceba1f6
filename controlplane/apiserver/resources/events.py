"""The rows of events.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.cache.selectable import path, selectable
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.conversion import events as conversion
from controlplane.apiserver.tables import core as core_columns

# What an event is about, by the names of the core group and by its own.
INVOLVED = tuple(
    f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
)
# An Event is stored as one of the core group, and read so here.
_READ = {
    **{name.replace("involvedObject", "regarding"): path(name) for name in INVOLVED},
    "reportingController": path("reportingComponent"),
}


EVENT_V1 = Resource(
    kinds.EVENT_V1,
    Strategy(create_on_update=True),
    columns=core_columns.EVENT,
    fields=selectable("reason", "type", read=_READ),
    conversion=conversion.EVENTS_V1,
)


ROWS = (EVENT_V1,)
