"""The rows of rbac.authorization.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy, again, then
from controlplane.apiserver.tables import cluster as cluster_columns
from controlplane.apiserver.validation import rbac as rbac_rules

CLUSTER_ROLE_BINDING = Resource(
    kinds.CLUSTER_ROLE_BINDING,
    Strategy(
        rules=then(rbac_rules.cluster_role_binding, rbac_rules.same_role),
        create_on_update=True,
        check_name=path_segment,
    ),
    columns=cluster_columns.CLUSTER_ROLE_BINDING,
)
CLUSTER_ROLE = Resource(
    kinds.CLUSTER_ROLE, Strategy(rules=again(rbac_rules.cluster_role), create_on_update=True, check_name=path_segment)
)
ROLE_BINDING = Resource(
    kinds.ROLE_BINDING,
    Strategy(rules=then(rbac_rules.role_binding, rbac_rules.same_role), create_on_update=True, check_name=path_segment),
    columns=cluster_columns.ROLE_BINDING,
)
ROLE = Resource(kinds.ROLE, Strategy(rules=again(rbac_rules.role), create_on_update=True, check_name=path_segment))


ROWS = (
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
)
