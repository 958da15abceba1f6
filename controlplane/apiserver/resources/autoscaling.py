"""The rows of autoscaling."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy, again
from controlplane.apiserver.tables import workloads as workloads_columns
from controlplane.apiserver.validation import autoscaling as autoscaling_rules

HORIZONTAL_POD_AUTOSCALER = Resource(
    kinds.HORIZONTAL_POD_AUTOSCALER,
    Strategy(rules=again(autoscaling_rules.autoscaler, status=autoscaling_rules.autoscaler_status)),
    columns=workloads_columns.HORIZONTAL_POD_AUTOSCALER,
)
HORIZONTAL_POD_AUTOSCALER_V1 = Resource(
    kinds.HORIZONTAL_POD_AUTOSCALER_V1,
    Strategy(rules=again(autoscaling_rules.autoscaler, status=autoscaling_rules.autoscaler_status)),
    columns=workloads_columns.HORIZONTAL_POD_AUTOSCALER,
)


ROWS = (
    HORIZONTAL_POD_AUTOSCALER,
    HORIZONTAL_POD_AUTOSCALER_V1,
)
