"""The table of strategies and what it needs around it: pools of addresses and ports, built-in admission."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery.kinds import KINDS, Kind
from controlplane.apiserver.cache.cache import Cache
from controlplane.apiserver.registry import Registry, Strategy
from controlplane.apiserver.registry.names import path_segment
from controlplane.apiserver.seam import AdmissionStep
from controlplane.apiserver.settings import Settings


@dataclass(frozen=True)
class Strategies:
    """by_resource: Kind.resource -> Strategy."""

    by_resource: Mapping[str, Strategy]
    first_service_ip: str

    def mutating(self, registry: Registry) -> tuple[AdmissionStep, ...]:
        return ()

    def validating(self, registry: Registry) -> tuple[AdmissionStep, ...]:
        return ()


def build(settings: Settings, cache: Cache) -> Strategies:
    """The strategies of every kind."""
    network = ipaddress.ip_network(settings.service_cidr)
    return Strategies({kind.resource: generic(kind) for kind in KINDS}, str(network[1]))


def generic(kind: Kind) -> Strategy:
    """What a kind does when nothing else is said."""
    has_status = "status" in kind.subresources
    if kind.group == "rbac.authorization.k8s.io":
        return Strategy(check_name=path_segment)
    return Strategy(has_status=has_status)
