"""The rows of the core group."""

from __future__ import annotations

from apimachinery import formats, kinds
from apimachinery.objects import Obj
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.advice import pods as pods_advice
from controlplane.apiserver.advice import workloads as workloads_advice
from controlplane.apiserver.cache.selectable import path, selectable
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import CHANGE_THEN_NEW, NEW_THEN_CHANGE, Strategy, read_back
from controlplane.apiserver.resources.events import INVOLVED
from controlplane.apiserver.strategies import cluster as cluster_strategy
from controlplane.apiserver.strategies import namespaces as namespaces_strategy
from controlplane.apiserver.strategies import pods as pods_strategy
from controlplane.apiserver.strategies import secrets as secrets_strategy
from controlplane.apiserver.strategies import storage as storage_strategy
from controlplane.apiserver.strategies import workloads as workloads_strategy
from controlplane.apiserver.tables import cluster as cluster_columns
from controlplane.apiserver.tables import core as core_columns
from controlplane.apiserver.tables import pods as pods_columns
from controlplane.apiserver.tables import storage as storage_columns
from controlplane.apiserver.tables import workloads as workloads_columns


def _event_source(obj: Obj) -> str:
    source = (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""
    return str(source)


def _nothing(obj: Obj) -> str:
    return ""


def _pod_ip(obj: Obj) -> str:
    ips = (obj.get("status") or {}).get("podIPs") or []
    return str(ips[0].get("ip", "")) if ips else ""


BINDING = Resource(kinds.BINDING)
COMPONENT_STATUS = Resource(
    kinds.COMPONENT_STATUS,
    deprecated="v1 ComponentStatus is deprecated in v1.19+",
    columns=cluster_columns.COMPONENT_STATUS,
)
CONFIG_MAP = Resource(
    kinds.CONFIG_MAP,
    Strategy(metadata_checks=CHANGE_THEN_NEW),
    columns=core_columns.CONFIG_MAP,
)
ENDPOINTS = Resource(
    kinds.ENDPOINTS,
    Strategy(metadata_checks=CHANGE_THEN_NEW, create_on_update=True, warn=advice.endpoints),
    columns=core_columns.ENDPOINTS,
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
)
EVENT = Resource(
    kinds.EVENT,
    Strategy(
        plain_metadata=True,
        metadata_checks=(),
        check_name=path_segment,
        create_on_update=True,
        dependents="unheard",
    ),
    columns=core_columns.EVENT,
    fields=selectable(*INVOLVED, "reason", "reportingComponent", "type", read={"source": _event_source}),
)
LIMIT_RANGE = Resource(
    kinds.LIMIT_RANGE,
    Strategy(metadata_checks=("new",), prepare_create=cluster_strategy.limits_created, create_on_update=True),
)
NAMESPACE = Resource(
    kinds.NAMESPACE,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        prepare_create=namespaces_strategy.prepare_create,
        # A name that the server made is known only now, and the label that says it is by default.
        finish=read_back,
        prepare_update=namespaces_strategy.prepare_update,
        prepare_finalize=namespaces_strategy.prepare_finalize,
        deleting=namespaces_strategy.deleting,
        holds=namespaces_strategy.holds,
        check_name=formats.dns1123_label,
        returns_deleted=True,
    ),
    columns=core_columns.NAMESPACE,
    fields=selectable("status.phase"),
)
NODE = Resource(
    kinds.NODE,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        prepare_create=cluster_strategy.node_created,
        prepare_update=cluster_strategy.node_changed,
        prepare_status=cluster_strategy.node_status,
        keep_status_on_create=True,
        warn=advice.node,
    ),
    columns=core_columns.NODE,
    fields=selectable("spec.unschedulable", absent={"spec.unschedulable": "false"}),
)
PERSISTENT_VOLUME_CLAIM = Resource(
    kinds.PERSISTENT_VOLUME_CLAIM,
    Strategy(
        metadata_checks=CHANGE_THEN_NEW,
        prepare_create=storage_strategy.claim_created,
        prepare_update=storage_strategy.claim_changed,
        returns_deleted=True,
        warn=advice.claim,
    ),
    columns=storage_columns.PERSISTENT_VOLUME_CLAIM,
)
PERSISTENT_VOLUME = Resource(
    kinds.PERSISTENT_VOLUME,
    Strategy(
        metadata_checks=("new", "new"),
        prepare_create=storage_strategy.volume_created,
        prepare_status=storage_strategy.volume_status,
        returns_deleted=True,
        warn=advice.volume,
    ),
    columns=storage_columns.PERSISTENT_VOLUME,
)
POD = Resource(
    kinds.POD,
    Strategy(
        metadata_checks=CHANGE_THEN_NEW,
        default=pods_strategy.default,
        prepare_create=pods_strategy.prepare_create,
        prepare_update=pods_strategy.prepare_update,
        prepare_status=pods_strategy.prepare_status,
        finish=pods_strategy.finish,
        grace=pods_strategy.grace,
        keep_status_on_create=True,
        generation=True,
        returns_deleted=True,
        status_keeps=("deletionTimestamp", "ownerReferences"),
        warn=pods_advice.pod,
        warn_sent=pods_advice.pod_sent,
        warn_status=pods_advice.pod_status,
    ),
    columns=pods_columns.POD,
    fields=selectable(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.nominatedNodeName",
        absent={"spec.hostNetwork": "false"},
        # Of addresses only the first is looked at, whoever asks for all.
        read={"spec.host": path("spec.nodeName"), "status.podIP": _pod_ip, "status.podIPs": _nothing},
        node="spec.nodeName",
    ),
)
POD_TEMPLATE = Resource(
    kinds.POD_TEMPLATE,
    Strategy(
        prepare_create=workloads_strategy.pod_template_created,
        prepare_update=workloads_strategy.pod_template_changed,
        generation=True,
        returns_deleted=True,
        warn=workloads_advice.template("template", named=False),
    ),
    columns=workloads_columns.POD_TEMPLATE,
)
REPLICATION_CONTROLLER = Resource(
    kinds.REPLICATION_CONTROLLER,
    Strategy(
        prepare_create=workloads_strategy.template_created,
        prepare_update=workloads_strategy.template_changed,
        # One without labels has those of its template, also when its status is written without.
        finish=read_back,
        dependents="stay",
        generation=True,
        warn=workloads_advice.replication_controller,
    ),
    columns=workloads_columns.REPLICATION_CONTROLLER,
    fields=selectable("status.replicas", absent={"status.replicas": "0"}),
)
RESOURCE_QUOTA = Resource(
    kinds.RESOURCE_QUOTA,
    Strategy(returns_deleted=True, warn=advice.quota),
    columns=core_columns.RESOURCE_QUOTA,
)
SECRET = Resource(
    kinds.SECRET,
    Strategy(
        metadata_checks=CHANGE_THEN_NEW,
        default=secrets_strategy.default,
        warn=advice.secret,
    ),
    columns=core_columns.SECRET,
    fields=selectable("type"),
)
SERVICE_ACCOUNT = Resource(
    kinds.SERVICE_ACCOUNT,
    Strategy(
        metadata_checks=CHANGE_THEN_NEW,
        prepare_create=secrets_strategy.account_created,
        prepare_update=secrets_strategy.account_changed,
        returns_deleted=True,
        warn=advice.service_account,
    ),
    columns=core_columns.SERVICE_ACCOUNT,
)
SERVICE = Resource(
    kinds.SERVICE,
    Strategy(
        check_name=formats.dns1123_label,
        create_on_update=True,
        returns_deleted=True,
        warn=advice.service,
        warn_status=advice.balanced,
    ),
    columns=core_columns.SERVICE,
    fields=selectable("spec.clusterIP", "spec.type"),
)


ROWS = (
    BINDING,
    COMPONENT_STATUS,
    CONFIG_MAP,
    ENDPOINTS,
    EVENT,
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUME,
    POD,
    POD_TEMPLATE,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
)
