"""The rows of policy."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.tables import network as network_columns

POD_DISRUPTION_BUDGET = Resource(
    kinds.POD_DISRUPTION_BUDGET,
    Strategy(
        plain_metadata=True,
        metadata_checks=(),
        status_metadata_checks=(),
        check_name=path_segment,
        generation=True,
        names_version=True,
    ),
    columns=network_columns.POD_DISRUPTION_BUDGET,
)


ROWS = (POD_DISRUPTION_BUDGET,)
