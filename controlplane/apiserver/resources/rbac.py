"""The rows of rbac.authorization.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import NEW_THEN_CHANGE, Strategy
from controlplane.apiserver.tables import cluster as cluster_columns

CLUSTER_ROLE_BINDING = Resource(
    kinds.CLUSTER_ROLE_BINDING,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        create_on_update=True,
        check_name=path_segment,
    ),
    columns=cluster_columns.CLUSTER_ROLE_BINDING,
)
CLUSTER_ROLE = Resource(
    kinds.CLUSTER_ROLE, Strategy(metadata_checks=NEW_THEN_CHANGE, create_on_update=True, check_name=path_segment)
)
ROLE_BINDING = Resource(
    kinds.ROLE_BINDING,
    Strategy(metadata_checks=NEW_THEN_CHANGE, create_on_update=True, check_name=path_segment),
    columns=cluster_columns.ROLE_BINDING,
)
ROLE = Resource(kinds.ROLE, Strategy(metadata_checks=NEW_THEN_CHANGE, create_on_update=True, check_name=path_segment))


ROWS = (
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
)
