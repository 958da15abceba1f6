"""The rows of networking.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import CHANGE_THEN_NEW, NEW_THEN_CHANGE, OWN_METADATA, Strategy
from controlplane.apiserver.rules import values
from controlplane.apiserver.tables import network as network_columns

INGRESS_CLASS = Resource(
    kinds.INGRESS_CLASS,
    Strategy(metadata_checks=CHANGE_THEN_NEW, generation=True),
    columns=network_columns.INGRESS_CLASS,
)
INGRESS = Resource(
    kinds.INGRESS,
    Strategy(metadata_checks=CHANGE_THEN_NEW, generation=True, warn=advice.ingress, warn_status=advice.balanced),
    columns=network_columns.INGRESS,
)
IP_ADDRESS = Resource(
    kinds.IP_ADDRESS,
    Strategy(metadata_checks=NEW_THEN_CHANGE, check_name=values.canonical_ip),
    columns=network_columns.IP_ADDRESS,
)
NETWORK_POLICY = Resource(
    kinds.NETWORK_POLICY,
    Strategy(generation=True, counts_empties=True, warn=advice.network_policy),
    columns=network_columns.NETWORK_POLICY,
)
SERVICE_CIDR = Resource(
    kinds.SERVICE_CIDR,
    Strategy(status_keeps=OWN_METADATA),
    columns=network_columns.SERVICE_CIDR,
)


ROWS = (
    INGRESS_CLASS,
    INGRESS,
    IP_ADDRESS,
    NETWORK_POLICY,
    SERVICE_CIDR,
)
