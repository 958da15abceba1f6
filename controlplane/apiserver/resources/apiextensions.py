"""The rows of apiextensions.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.strategies import definitions as definitions_strategy

CUSTOM_RESOURCE_DEFINITION = Resource(
    kinds.CUSTOM_RESOURCE_DEFINITION,
    Strategy(
        prepare_create=definitions_strategy.created,
        prepare_update=definitions_strategy.changed,
        plain_metadata=True,
        metadata_checks=("plain change",),
        status_metadata_checks=("plain change",),
        generation=True,
        names_version=True,
        holds=definitions_strategy.holds,
        deleting=definitions_strategy.deleting,
        warn=definitions_strategy.unknown_formats,
        weight=16,
    ),
)


ROWS = (CUSTOM_RESOURCE_DEFINITION,)
