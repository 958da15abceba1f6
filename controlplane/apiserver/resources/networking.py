"""The rows of networking.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Rules, Strategy, again, then
from controlplane.apiserver.tables import network as network_columns
from controlplane.apiserver.validation import ingress as ingress_rules
from controlplane.apiserver.validation import networking as networking_rules

INGRESS_CLASS = Resource(
    kinds.INGRESS_CLASS,
    Strategy(rules=then(networking_rules.ingress_class, networking_rules.ingress_class_change), generation=True),
    columns=network_columns.INGRESS_CLASS,
)
INGRESS = Resource(
    kinds.INGRESS,
    Strategy(
        rules=Rules(
            new=ingress_rules.ingress, change=ingress_rules.ingress_change, status=ingress_rules.ingress_status
        ),
        generation=True,
    ),
    columns=network_columns.INGRESS,
)
IP_ADDRESS = Resource(
    kinds.IP_ADDRESS,
    Strategy(
        check_name=networking_rules.address_name, rules=then(networking_rules.address, networking_rules.address_change)
    ),
    columns=network_columns.IP_ADDRESS,
)
NETWORK_POLICY = Resource(
    kinds.NETWORK_POLICY,
    Strategy(rules=again(networking_rules.network_policy), generation=True),
    columns=network_columns.NETWORK_POLICY,
)
SERVICE_CIDR = Resource(
    kinds.SERVICE_CIDR,
    Strategy(
        rules=then(networking_rules.service_range, networking_rules.service_range_change), status_keeps=OWN_METADATA
    ),
    columns=network_columns.SERVICE_CIDR,
)


ROWS = (
    INGRESS_CLASS,
    INGRESS,
    IP_ADDRESS,
    NETWORK_POLICY,
    SERVICE_CIDR,
)
