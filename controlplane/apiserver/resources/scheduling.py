"""The rows of scheduling.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.rules import scheduling
from controlplane.apiserver.tables import cluster as cluster_columns

PRIORITY_CLASS = Resource(
    kinds.PRIORITY_CLASS,
    Strategy(
        generation_stands=True,
        generation=True,
        undeletable=scheduling.undeletable,
    ),
    columns=cluster_columns.PRIORITY_CLASS,
)


ROWS = (PRIORITY_CLASS,)
