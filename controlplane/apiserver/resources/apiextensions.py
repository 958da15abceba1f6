"""The rows of apiextensions.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy

CUSTOM_RESOURCE_DEFINITION = Resource(
    kinds.CUSTOM_RESOURCE_DEFINITION,
    Strategy(
        plain_metadata=True,
        metadata_checks=("plain change",),
        status_metadata_checks=("plain change",),
        generation=True,
        names_version=True,
        status_keeps=OWN_METADATA,
    ),
)


ROWS = (CUSTOM_RESOURCE_DEFINITION,)
