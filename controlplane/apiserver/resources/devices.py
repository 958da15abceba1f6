"""The rows of resource.k8s.io."""

from __future__ import annotations

from apimachinery import formats, kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.cache.selectable import selectable
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import NEW_THEN_CHANGE, OWN_METADATA, Strategy
from controlplane.apiserver.strategies import devices as devices_strategy
from controlplane.apiserver.tables import storage as storage_columns

DEVICE_CLASS = Resource(
    kinds.DEVICE_CLASS,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        check_name=formats.long_name,
        generation=True,
        returns_deleted=True,
        weight=16,
    ),
    columns=storage_columns.DEVICE_CLASS,
)
RESOURCE_CLAIM = Resource(
    kinds.RESOURCE_CLAIM,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        prepare_status=devices_strategy.claim_status,
        status_keeps=OWN_METADATA,
        returns_deleted=True,
        weight=16,
    ),
    columns=storage_columns.RESOURCE_CLAIM,
)
RESOURCE_CLAIM_TEMPLATE = Resource(
    kinds.RESOURCE_CLAIM_TEMPLATE,
    Strategy(metadata_checks=NEW_THEN_CHANGE, returns_deleted=True, weight=16),
    columns=storage_columns.RESOURCE_CLAIM_TEMPLATE,
)
RESOURCE_SLICE = Resource(
    kinds.RESOURCE_SLICE,
    Strategy(
        default=devices_strategy.slice_default,
        prepare_create=devices_strategy.slice_created,
        prepare_update=devices_strategy.slice_changed,
        generation=True,
        counts_dropped=True,
        returns_deleted=True,
        warn=advice.resource_slice,
    ),
    fields=selectable(
        "spec.nodeName",
        "spec.driver",
        refusal="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {path}",
    ),
    columns=storage_columns.RESOURCE_SLICE,
)


ROWS = (
    DEVICE_CLASS,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
)
