"""The rows of every group in one set of rules."""

from __future__ import annotations

from functools import cache

from controlplane.apiserver.rules import (
    apiservices,
    apps,
    autoscaling,
    certificates,
    conditions,
    coordination,
    discovery,
    events,
    flowcontrol,
    ingress,
    networking,
    node,
    policy,
    rbac,
    scheduling,
    storage,
)
from controlplane.apiserver.rules.admissionregistration import matching, webhooks
from controlplane.apiserver.rules.admissionregistration import policies as admission_policies
from controlplane.apiserver.rules.apiextensions import definitions
from controlplane.apiserver.rules.batch import cronjobs, jobs, jobstatus, policies
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
from controlplane.apiserver.rules.devices import allocation, names, slices
from controlplane.apiserver.rules.devices import claims as device_claims

_TABLES = (
    admission_policies.RULES,
    allocation.RULES,
    device_claims.RULES,
    matching.RULES,
    names.RULES,
    slices.RULES,
    webhooks.RULES,
    apiservices.RULES,
    apps.RULES,
    definitions.RULES,
    flowcontrol.RULES,
    autoscaling.RULES,
    certificates.RULES,
    conditions.RULES,
    coordination.RULES,
    cronjobs.RULES,
    ingress.RULES,
    jobs.RULES,
    jobstatus.RULES,
    networking.RULES,
    node.RULES,
    policies.RULES,
    policy.RULES,
    rbac.RULES,
    replication.RULES,
    scheduling.RULES,
    storage.RULES,
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


@cache
def rules() -> Rules:
    """The rules of all served kinds; made once, compiled a type at a time."""
    return Rules(*_TABLES)
