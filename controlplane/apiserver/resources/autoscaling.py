"""The rows of autoscaling."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.conversion import autoscaling as conversion
from controlplane.apiserver.strategies import autoscaling as strategy
from controlplane.apiserver.tables import workloads as workloads_columns

HORIZONTAL_POD_AUTOSCALER = Resource(
    kinds.HORIZONTAL_POD_AUTOSCALER,
    Strategy(default=strategy.default),
    columns=workloads_columns.HORIZONTAL_POD_AUTOSCALER,
)
HORIZONTAL_POD_AUTOSCALER_V1 = Resource(
    kinds.HORIZONTAL_POD_AUTOSCALER_V1,
    columns=workloads_columns.HORIZONTAL_POD_AUTOSCALER,
    conversion=conversion.V1,
)


ROWS = (
    HORIZONTAL_POD_AUTOSCALER,
    HORIZONTAL_POD_AUTOSCALER_V1,
)
