"""The rows of coordination.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.strategies import cluster as cluster_strategy
from controlplane.apiserver.tables import cluster as cluster_columns

LEASE = Resource(
    kinds.LEASE,
    Strategy(
        plain_metadata=True,
        metadata_checks=("plain change",),
        prepare_create=cluster_strategy.lease_created,
        prepare_update=cluster_strategy.lease_changed,
        names_version=True,
        create_on_update=True,
    ),
    columns=cluster_columns.LEASE,
)


ROWS = (LEASE,)
