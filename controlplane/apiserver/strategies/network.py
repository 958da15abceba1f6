"""Networking and discovery: what the server resets, and their rules."""

from __future__ import annotations

from controlplane.apiserver.request import Obj
from controlplane.apiserver.strategies.rows import Rows, then
from controlplane.apiserver.validation import endpoints, ingress, networking


def slice_created(endpoint_slice: Obj) -> None:
    """deprecatedTopology belongs to an API version that is gone."""
    for endpoint in endpoint_slice.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def slice_changed(new: Obj, old: Obj) -> None:
    slice_created(new)


ROWS: Rows = {
    "ingresses.networking.k8s.io": {
        "validate": ingress.ingress,
        "validate_update": ingress.ingress_change,
        "validate_status": ingress.ingress_status,
    },
    "ingressclasses.networking.k8s.io": then(networking.ingress_class, networking.ingress_class_change),
    "networkpolicies.networking.k8s.io": {
        "validate": networking.network_policy,
        "validate_update": lambda new, old: networking.network_policy(new),
    },
    "ipaddresses.networking.k8s.io": {
        "check_name": networking.address_name,
        **then(networking.address, networking.address_change),
    },
    "servicecidrs.networking.k8s.io": then(networking.service_range, networking.service_range_change),
    "endpoints": {
        "validate": endpoints.endpoints,
        "validate_update": lambda new, old: endpoints.endpoints(new),
    },
    "endpointslices.discovery.k8s.io": {
        "prepare_create": slice_created,
        "prepare_update": slice_changed,
        "validate": endpoints.endpoint_slice,
        "validate_update": endpoints.endpoint_slice_change,
    },
}
