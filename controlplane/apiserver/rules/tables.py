"""The rows of every group in one set of rules."""

from __future__ import annotations

from functools import cache

from controlplane.apiserver.rules import discovery, events
from controlplane.apiserver.rules.compiled import Rules
from controlplane.apiserver.rules.core import (
    claims,
    containers,
    data,
    endpoints,
    environment,
    mounts,
    namespaces,
    nodes,
    persistent,
    podparts,
    pods,
    podstatus,
    probes,
    quotas,
    resources,
    scheduling,
    security,
    selectors,
    services,
    volumes,
)

_TABLES = (
    data.RULES,
    discovery.RULES,
    endpoints.RULES,
    events.RULES,
    namespaces.RULES,
    nodes.RULES,
    quotas.RULES,
    services.RULES,
    claims.RULES,
    containers.RULES,
    environment.RULES,
    mounts.RULES,
    persistent.RULES,
    podparts.RULES,
    pods.RULES,
    podstatus.RULES,
    probes.RULES,
    resources.RULES,
    scheduling.RULES,
    security.RULES,
    selectors.RULES,
    volumes.RULES,
)


@cache
def rules() -> Rules:
    """The rules of all served kinds; made once, compiled a type at a time."""
    return Rules(*_TABLES)
