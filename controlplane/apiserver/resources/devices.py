"""The rows of resource.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.cache.fields import selectable
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy, again, then
from controlplane.apiserver.tables import storage as storage_columns
from controlplane.apiserver.validation import devices as devices_rules

DEVICE_CLASS = Resource(
    kinds.DEVICE_CLASS,
    Strategy(rules=again(devices_rules.device_class), generation=True, returns_deleted=True),
    columns=storage_columns.DEVICE_CLASS,
)
RESOURCE_CLAIM = Resource(
    kinds.RESOURCE_CLAIM,
    Strategy(rules=then(devices_rules.claim, devices_rules.spec_change), status_keeps=OWN_METADATA),
    columns=storage_columns.RESOURCE_CLAIM,
)
RESOURCE_CLAIM_TEMPLATE = Resource(
    kinds.RESOURCE_CLAIM_TEMPLATE,
    Strategy(rules=then(devices_rules.template, devices_rules.spec_change)),
    columns=storage_columns.RESOURCE_CLAIM_TEMPLATE,
)
RESOURCE_SLICE = Resource(
    kinds.RESOURCE_SLICE,
    Strategy(rules=then(devices_rules.resource_slice, devices_rules.resource_slice_change), generation=True),
    fields=selectable("spec.nodeName", "spec.driver"),
    columns=storage_columns.RESOURCE_SLICE,
)


ROWS = (
    DEVICE_CLASS,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
)
