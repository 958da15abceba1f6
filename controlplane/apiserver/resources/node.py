"""The rows of node.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.tables import network as network_columns

RUNTIME_CLASS = Resource(
    kinds.RUNTIME_CLASS,
    Strategy(
        plain_metadata=True,
        metadata_checks=("plain new", "plain change"),
        names_version=True,
        create_on_update=True,
        warn=advice.runtime_class,
    ),
    columns=network_columns.RUNTIME_CLASS,
)


ROWS = (RUNTIME_CLASS,)
