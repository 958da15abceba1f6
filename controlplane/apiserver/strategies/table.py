"""The table of strategies and what it needs around it: pools of addresses and ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from apimachinery import formats, kinds
from apimachinery.kinds import KINDS, Kind
from controlplane.apiserver import defaults
from controlplane.apiserver.advice.kinds import ADVICE
from controlplane.apiserver.cache.cache import Cache
from controlplane.apiserver.registry import Strategy
from controlplane.apiserver.registry.names import label, path_segment
from controlplane.apiserver.settings import Settings
from controlplane.apiserver.strategies import (
    admission,
    certificates,
    cluster,
    devices,
    namespaces,
    network,
    pods,
    secrets,
    services,
    storage,
    workloads,
)
from controlplane.apiserver.strategies.rows import Rows, again, both
from controlplane.apiserver.strategies.services import ServicePools
from controlplane.apiserver.validation import core as valid_core
from controlplane.apiserver.validation import jobs as valid_jobs
from controlplane.apiserver.validation import pods as valid_pods
from controlplane.apiserver.validation import rbac as valid_rbac
from controlplane.apiserver.validation import services as valid_services
from controlplane.apiserver.validation import statuses as valid_statuses
from controlplane.apiserver.validation import workloads as valid_workloads

# metadata.generation is the server's for these.
_GENERATION = frozenset(
    [
        "pods",
        "podtemplates",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "replicationcontrollers",
        "jobs.batch",
        "cronjobs.batch",
        "ingresses.networking.k8s.io",
        "networkpolicies.networking.k8s.io",
        "poddisruptionbudgets.policy",
        "priorityclasses.scheduling.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        "endpointslices.discovery.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "ingressclasses.networking.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "resourceslices.resource.k8s.io",
        "deviceclasses.resource.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    ]
)
_CREATE_ON_UPDATE = frozenset(
    [
        "services",
        "endpoints",
        "events",
        "events.events.k8s.io",
        "limitranges",
        "leases.coordination.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "runtimeclasses.node.k8s.io",
    ]
)
# DELETE answers with the object.
_RETURNS_DELETED = frozenset(
    [
        "pods",
        "services",
        "persistentvolumes",
        "persistentvolumeclaims",
        "serviceaccounts",
        "podtemplates",
        "resourcequotas",
        "namespaces",
        "storageclasses.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
        "deviceclasses.resource.k8s.io",
    ]
)
_SEGMENT_NAMES = frozenset(
    [
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "certificatesigningrequests.certificates.k8s.io",
    ]
)


_OWN: Rows = {
    **admission.ROWS,
    **certificates.ROWS,
    **cluster.ROWS,
    **devices.ROWS,
    **network.ROWS,
    **storage.ROWS,
    "pods": {
        "default": pods.default,
        "validate_status": valid_statuses.pod,
        "prepare_create": pods.prepare_create,
        "prepare_update": pods.prepare_update,
        "prepare_status": pods.prepare_status,
        "validate": valid_pods.validate,
        "validate_update": valid_pods.validate_change,
        "grace": pods.grace,
        "keep_status_on_create": True,
    },
    "namespaces": {
        "prepare_create": namespaces.prepare_create,
        "prepare_update": namespaces.prepare_update,
        "prepare_finalize": namespaces.prepare_finalize,
        "deleting": namespaces.deleting,
        "holds": namespaces.holds,
        "check_name": label,
        "validate": valid_core.namespace,
        "validate_finalize": valid_core.namespace_change,
        "validate_status": valid_core.namespace_status,
    },
    "services": {
        "prepare_update": services.prepare_update,
        "check_name": label,
        "validate": valid_services.validate,
        "validate_update": valid_services.validate_change,
        "validate_status": valid_services.validate_status,
    },
    "secrets": {
        "default": secrets.default,
        "validate": valid_core.secret,
        "validate_update": valid_core.secret_change,
    },
    "serviceaccounts": {"default": secrets.default_account},
    "configmaps": {"validate": valid_core.config_map, "validate_update": valid_core.config_map_change},
    "podtemplates": again(valid_core.pod_template),
    "events": {
        **again(valid_core.event),
        "validate_as": valid_core.event_as,
        "validate_update_as": valid_core.event_change_as,
    },
    "controllerrevisions.apps": {
        "validate": valid_core.controller_revision,
        "validate_update": valid_core.controller_revision_change,
    },
    "deployments.apps": {
        "validate_status": valid_statuses.deployment,
        "counts_annotations": True,
        "validate": valid_workloads.deployment,
        "validate_update": both(valid_workloads.deployment, valid_workloads.frozen_selector),
    },
    "replicasets.apps": {
        "validate_status": valid_statuses.replica_set,
        "validate": valid_workloads.replica_set,
        "validate_update": both(valid_workloads.replica_set, valid_workloads.frozen_selector),
    },
    "statefulsets.apps": {
        "validate_status": valid_statuses.stateful_set,
        "prepare_create": workloads.stateful_set_created,
        "prepare_update": workloads.stateful_set_changed,
        "validate": valid_workloads.stateful_set,
        "validate_update": valid_workloads.stateful_set_change,
    },
    "daemonsets.apps": {
        "validate_status": valid_statuses.daemon_set,
        "prepare_create": workloads.daemon_set_created,
        "prepare_update": workloads.daemon_set_changed,
        "prepare_status": workloads.daemon_set_status,
        "validate": valid_workloads.daemon_set,
        "validate_update": both(valid_workloads.daemon_set, valid_workloads.frozen_selector),
    },
    "replicationcontrollers": {
        "validate_status": valid_statuses.replica_set,
        "default_orphan": True,
        **again(valid_workloads.replication_controller),
    },
    "jobs.batch": {
        "prepare_create": workloads.job_created,
        "default_orphan": True,
        "validate": valid_jobs.job,
        "validate_update": both(valid_jobs.job, valid_jobs.job_change),
        "validate_status": valid_statuses.job,
    },
    "roles.rbac.authorization.k8s.io": again(valid_rbac.role),
    "clusterroles.rbac.authorization.k8s.io": again(valid_rbac.cluster_role),
    "rolebindings.rbac.authorization.k8s.io": {
        "validate": valid_rbac.role_binding,
        "validate_update": both(valid_rbac.role_binding, valid_rbac.same_role),
    },
    "clusterrolebindings.rbac.authorization.k8s.io": {
        "validate": valid_rbac.cluster_role_binding,
        "validate_update": both(valid_rbac.cluster_role_binding, valid_rbac.same_role),
    },
    "cronjobs.batch": {
        "check_name": valid_jobs.cron_job_name,
        **again(valid_jobs.cron_job),
    },
}


@dataclass(frozen=True)
class Strategies:
    """by_resource: Kind.resource -> Strategy."""

    by_resource: Mapping[str, Strategy]
    pools: ServicePools

    @property
    def first_service_ip(self) -> str:
        return str(self.pools.addresses.network[1])


def build(settings: Settings, cache: Cache) -> Strategies:
    """The strategies of every kind, their pools filled from what is stored."""
    pools = ServicePools(settings.service_cidr, settings.node_port_range)
    pools.load([entry.obj for entry in cache.collection(kinds.SERVICE).scan()])
    table = {kind.resource: _row(kind) for kind in KINDS}
    table["services"] = replace(table["services"], reserve=pools.reserve)
    return Strategies(table, pools)


def _row(kind: Kind) -> Strategy:
    check: Callable[[str], tuple[str, ...]] = formats.dns1123_subdomain
    if kind.resource in _SEGMENT_NAMES:
        check = path_segment
    rows: dict[str, Any] = {
        "default": defaults.apply,
        "settle": defaults.settle,
        "check_name": check,
        "generation": kind.resource in _GENERATION,
        "has_status": "status" in kind.subresources,
        "create_on_update": kind.resource in _CREATE_ON_UPDATE,
        "returns_deleted": kind.resource in _RETURNS_DELETED,
    }
    if kind.resource in ADVICE:
        rows["warn"] = ADVICE[kind.resource]
    rows.update(_OWN.get(kind.resource, {}))
    return Strategy(**rows)
