"""The rows of apiregistration.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.resources.resource import Resource
from controlplane.apiserver.resources.strategy import OWN_METADATA, Strategy, again
from controlplane.apiserver.tables import cluster as cluster_columns
from controlplane.apiserver.validation import flowcontrol as flowcontrol_rules

API_SERVICE = Resource(
    kinds.API_SERVICE,
    Strategy(rules=again(flowcontrol_rules.service), status_keeps=OWN_METADATA),
    columns=cluster_columns.API_SERVICE,
)


ROWS = (API_SERVICE,)
