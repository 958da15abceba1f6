"""The rows of storage.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import CHANGE_THEN_NEW, NEW_THEN_CHANGE, OWN_METADATA, Strategy
from controlplane.apiserver.strategies import storage as storage_strategy
from controlplane.apiserver.tables import storage as storage_columns

CSI_DRIVER = Resource(
    kinds.CSI_DRIVER,
    Strategy(
        prepare_create=storage_strategy.driver_created,
        prepare_update=storage_strategy.driver_changed,
        names_version=True,
        returns_deleted=True,
        warn=advice.driver,
    ),
    columns=storage_columns.CSI_DRIVER,
)
CSI_NODE = Resource(
    kinds.CSI_NODE,
    Strategy(metadata_checks=("new",), names_version=True, returns_deleted=True),
    columns=storage_columns.CSI_NODE,
)
CSI_STORAGE_CAPACITY = Resource(
    kinds.CSI_STORAGE_CAPACITY,
    Strategy(metadata_checks=NEW_THEN_CHANGE, names_version=True, warn=advice.storage_capacity),
)
STORAGE_CLASS = Resource(
    kinds.STORAGE_CLASS,
    Strategy(metadata_checks=NEW_THEN_CHANGE, returns_deleted=True, warn=advice.storage_class),
    columns=storage_columns.STORAGE_CLASS,
)
VOLUME_ATTACHMENT = Resource(
    kinds.VOLUME_ATTACHMENT,
    Strategy(
        metadata_checks=("new",),
        names_version=True,
        returns_deleted=True,
        status_keeps=OWN_METADATA,
    ),
    columns=storage_columns.VOLUME_ATTACHMENT,
)
VOLUME_ATTRIBUTES_CLASS = Resource(
    kinds.VOLUME_ATTRIBUTES_CLASS,
    Strategy(metadata_checks=CHANGE_THEN_NEW, returns_deleted=True),
    columns=storage_columns.VOLUME_ATTRIBUTES_CLASS,
)


ROWS = (
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
    VOLUME_ATTRIBUTES_CLASS,
)
