"""The rows of discovery.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.strategies import network as network_strategy
from controlplane.apiserver.tables import core as core_columns

ENDPOINT_SLICE = Resource(
    kinds.ENDPOINT_SLICE,
    Strategy(
        metadata_checks=("new",),
        prepare_create=network_strategy.slice_created,
        prepare_update=network_strategy.slice_changed,
        generation=True,
        counts_dropped=True,
        counts_labels=True,
        warn=advice.endpoint_slice,
    ),
    columns=core_columns.ENDPOINT_SLICE,
)


ROWS = (ENDPOINT_SLICE,)
