"""The rows of apiregistration.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy
from controlplane.apiserver.tables import cluster as cluster_columns


def _created(service: Obj) -> None:
    """What this server serves itself is available at once."""
    if service["spec"].get("service") is None:
        text = "Local APIServices are always available"
        condition = {"type": "Available", "status": "True", "reason": "Local", "message": text}
        service["status"] = {"conditions": [{**condition, "lastTransitionTime": format_time(now())}]}


API_SERVICE = Resource(
    kinds.API_SERVICE,
    Strategy(
        plain_metadata=True,
        metadata_checks=("plain change", "plain new"),
        status_metadata_checks=("plain change",),
        # The core group's is called "v1.".
        check_name=path_segment,
        prepare_create=_created,
        names_version=True,
        status_keeps=OWN_METADATA,
    ),
    columns=cluster_columns.API_SERVICE,
)


ROWS = (API_SERVICE,)
