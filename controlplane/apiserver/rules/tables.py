"""The rows of every group in one set of rules.

Those of groups that a server has objects of from its start stand ready; the others are loaded with the first object of
theirs that is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from controlplane.apiserver.rules import (
    apiservices,
    conditions,
    discovery,
    events,
    flowcontrol,
    ingress,
    networking,
    rbac,
    scheduling,
)
from controlplane.apiserver.rules.compiled import Later, Rules
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
    projections,
    quotas,
    replication,
    resources,
    security,
    selectors,
    services,
    sources,
    volumes,
)
from controlplane.apiserver.rules.core import scheduling as pod_scheduling
from controlplane.apiserver.rules.place import Row

_Tables = tuple[Mapping[str, Row], ...]

_READY: _Tables = (
    apiservices.RULES,
    conditions.RULES,
    flowcontrol.RULES,
    ingress.RULES,
    networking.RULES,
    rbac.RULES,
    replication.RULES,
    scheduling.RULES,
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
    pod_scheduling.RULES,
    security.RULES,
    selectors.RULES,
    projections.RULES,
    sources.RULES,
    volumes.RULES,
)


def _admissionregistration() -> _Tables:
    from controlplane.apiserver.rules.admissionregistration import matching, policies, webhooks

    return policies.RULES, matching.RULES, webhooks.RULES


def _apiextensions() -> _Tables:
    from controlplane.apiserver.rules.apiextensions import definitions

    return (definitions.RULES,)


def _apps() -> _Tables:
    from controlplane.apiserver.rules import apps

    return (apps.RULES,)


def _autoscaling() -> _Tables:
    from controlplane.apiserver.rules import autoscaling

    return (autoscaling.RULES,)


def _batch() -> _Tables:
    from controlplane.apiserver.rules.batch import cronjobs, jobs, jobstatus, policies

    return cronjobs.RULES, jobs.RULES, jobstatus.RULES, policies.RULES


def _certificates() -> _Tables:
    from controlplane.apiserver.rules import certificates

    return (certificates.RULES,)


def _coordination() -> _Tables:
    from controlplane.apiserver.rules import coordination

    return (coordination.RULES,)


def _node() -> _Tables:
    from controlplane.apiserver.rules import node

    return (node.RULES,)


def _policy() -> _Tables:
    from controlplane.apiserver.rules import policy

    return (policy.RULES,)


def _resource() -> _Tables:
    from controlplane.apiserver.rules.devices import allocation, claims, names, slices

    return allocation.RULES, claims.RULES, names.RULES, slices.RULES


def _storage() -> _Tables:
    from controlplane.apiserver.rules import storage

    return (storage.RULES,)


_LATER: Mapping[str, Later] = {
    "admissionregistration": _admissionregistration,
    "apiextensions": _apiextensions,
    "apps": _apps,
    "autoscaling": _autoscaling,
    "batch": _batch,
    "certificates": _certificates,
    "coordination": _coordination,
    "node": _node,
    "policy": _policy,
    "resource": _resource,
    "storage": _storage,
}


@cache
def rules() -> Rules:
    """The rules of all served kinds; made once, compiled a type at a time."""
    return Rules(*_READY, later=_LATER)
