"""The rows of flowcontrol.apiserver.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy
from controlplane.apiserver.tables import cluster as cluster_columns

FLOW_SCHEMA = Resource(
    kinds.FLOW_SCHEMA,
    Strategy(metadata_checks=("new",), generation=True, status_keeps=OWN_METADATA),
    columns=cluster_columns.FLOW_SCHEMA,
)
PRIORITY_LEVEL = Resource(
    kinds.PRIORITY_LEVEL,
    Strategy(metadata_checks=("new",), generation=True, status_keeps=OWN_METADATA),
    columns=cluster_columns.PRIORITY_LEVEL,
)


ROWS = (
    FLOW_SCHEMA,
    PRIORITY_LEVEL,
)
