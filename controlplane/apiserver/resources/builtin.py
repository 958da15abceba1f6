"""The rows of every built-in kind, in the order in which upstream's discovery lists groups."""

from __future__ import annotations

from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.resources import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    authentication,
    authorization,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    devices,
    discovery,
    events,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    scheduling,
    storage,
)

ROWS: tuple[Resource, ...] = (
    *core.ROWS,
    *apiregistration.ROWS,
    *apps.ROWS,
    *events.ROWS,
    *authentication.ROWS,
    *authorization.ROWS,
    *autoscaling.ROWS,
    *batch.ROWS,
    *certificates.ROWS,
    *networking.ROWS,
    *policy.ROWS,
    *rbac.ROWS,
    *storage.ROWS,
    *admissionregistration.ROWS,
    *apiextensions.ROWS,
    *scheduling.ROWS,
    *coordination.ROWS,
    *node.ROWS,
    *discovery.ROWS,
    *devices.ROWS,
    *flowcontrol.ROWS,
)


def catalog() -> Catalog:
    """A catalog of its own with everything built in."""
    return Catalog(ROWS)
