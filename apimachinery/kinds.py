"""The one table of every resource that Kubernetes v1.36 serves, and how to find a row of it.

A row says what discovery says (names, scope, verbs, subresources) and, from that, every path follows. The
API server, the client and discovery all read this table; nothing else may list kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Verbs = frozenset[str]


def _verbs(text: str) -> Verbs:
    return frozenset(text.split())


STANDARD = _verbs("create delete deletecollection get list patch update watch")
CREATE = _verbs("create")
GET_LIST = _verbs("get list")
GET_PATCH_UPDATE = _verbs("get patch update")
CONNECT = _verbs("create delete get patch update")
STREAM = _verbs("create get")


@dataclass(frozen=True)
class Subresource:
    """A part of an object with its own path; ``group``/``version``/``kind`` name what its body is."""

    name: str
    verbs: Verbs
    kind: str
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Kind:
    """One resource of one API version.

    ``storage`` names the collection its objects live in: versions and groups that show the same objects
    (autoscaling v1 and v2, events of core and events.k8s.io) share it.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: Verbs = STANDARD
    subresources: Mapping[str, Subresource] = field(default_factory=dict, hash=False, compare=False)
    storage: str = ""

    @property
    def api_version(self) -> str:
        """``v1`` for the core group, else ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The name upstream prints in messages: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return self.kind + "List"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of an object in it, or of an object's subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


def _status(kind: str) -> Subresource:
    return Subresource("status", GET_PATCH_UPDATE, kind)


_SCALE = Subresource("scale", GET_PATCH_UPDATE, "Scale", "autoscaling", "v1")

_CORE_SUBRESOURCES: dict[str, tuple[Subresource, ...]] = {
    "Namespace": (Subresource("finalize", _verbs("update"), "Namespace"), _status("Namespace")),
    "Node": (Subresource("proxy", CONNECT, "NodeProxyOptions"), _status("Node")),
    "Pod": (
        Subresource("attach", STREAM, "PodAttachOptions"),
        Subresource("binding", CREATE, "Binding"),
        Subresource("ephemeralcontainers", GET_PATCH_UPDATE, "Pod"),
        Subresource("eviction", CREATE, "Eviction", "policy", "v1"),
        Subresource("exec", STREAM, "PodExecOptions"),
        Subresource("log", _verbs("get"), "Pod"),
        Subresource("portforward", STREAM, "PodPortForwardOptions"),
        Subresource("proxy", CONNECT, "PodProxyOptions"),
        Subresource("resize", GET_PATCH_UPDATE, "Pod"),
        _status("Pod"),
    ),
    "ReplicationController": (_SCALE, _status("ReplicationController")),
    "Service": (Subresource("proxy", CONNECT, "ServiceProxyOptions"), _status("Service")),
    "ServiceAccount": (Subresource("token", CREATE, "TokenRequest", "authentication.k8s.io", "v1"),),
}


def _kind(
    group: str,
    version: str,
    kind: str,
    plural: str,
    *,
    cluster: bool = False,
    short: str = "",
    categories: str = "",
    verbs: Verbs = STANDARD,
    status: bool = False,
    subresources: tuple[Subresource, ...] = (),
    storage: str = "",
) -> Kind:
    if status:
        subresources = (*subresources, _status(kind))
    return Kind(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=not cluster,
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        verbs=verbs,
        subresources={sub.name: sub for sub in subresources},
        storage=storage or (f"{plural}.{group}" if group else plural),
    )


def _core(
    kind: str,
    plural: str,
    *,
    cluster: bool = False,
    short: str = "",
    categories: str = "",
    verbs: Verbs = STANDARD,
    status: bool = False,
) -> Kind:
    return _kind(
        "",
        "v1",
        kind,
        plural,
        cluster=cluster,
        short=short,
        categories=categories,
        verbs=verbs,
        status=status,
        subresources=_CORE_SUBRESOURCES.get(kind, ()),
    )


BINDING = _core("Binding", "bindings", verbs=CREATE)
COMPONENT_STATUS = _core("ComponentStatus", "componentstatuses", cluster=True, short="cs", verbs=GET_LIST)
CONFIG_MAP = _core("ConfigMap", "configmaps", short="cm")
ENDPOINTS = _core("Endpoints", "endpoints", short="ep")
EVENT = _core("Event", "events", short="ev")
LIMIT_RANGE = _core("LimitRange", "limitranges", short="limits")
NAMESPACE = _core("Namespace", "namespaces", cluster=True, short="ns", verbs=STANDARD - {"deletecollection"})
NODE = _core("Node", "nodes", cluster=True, short="no")
PERSISTENT_VOLUME_CLAIM = _core("PersistentVolumeClaim", "persistentvolumeclaims", short="pvc", status=True)
PERSISTENT_VOLUME = _core("PersistentVolume", "persistentvolumes", cluster=True, short="pv", status=True)
POD = _core("Pod", "pods", short="po", categories="all")
POD_TEMPLATE = _core("PodTemplate", "podtemplates")
REPLICATION_CONTROLLER = _core("ReplicationController", "replicationcontrollers", short="rc", categories="all")
RESOURCE_QUOTA = _core("ResourceQuota", "resourcequotas", short="quota", status=True)
SECRET = _core("Secret", "secrets")
SERVICE_ACCOUNT = _core("ServiceAccount", "serviceaccounts", short="sa")
SERVICE = _core("Service", "services", short="svc", categories="all")

API_SERVICE = _kind(
    "apiregistration.k8s.io",
    "v1",
    "APIService",
    "apiservices",
    cluster=True,
    categories="api-extensions",
    status=True,
)

CONTROLLER_REVISION = _kind("apps", "v1", "ControllerRevision", "controllerrevisions")
DAEMON_SET = _kind("apps", "v1", "DaemonSet", "daemonsets", short="ds", categories="all", status=True)
DEPLOYMENT = _kind(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    short="deploy",
    categories="all",
    subresources=(_SCALE,),
    status=True,
)
REPLICA_SET = _kind(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    short="rs",
    categories="all",
    subresources=(_SCALE,),
    status=True,
)
STATEFUL_SET = _kind(
    "apps",
    "v1",
    "StatefulSet",
    "statefulsets",
    short="sts",
    categories="all",
    subresources=(_SCALE,),
    status=True,
)

EVENT_V1 = _kind("events.k8s.io", "v1", "Event", "events", short="ev", storage="events")

SELF_SUBJECT_REVIEW = _kind(
    "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", cluster=True, verbs=CREATE
)
TOKEN_REVIEW = _kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", cluster=True, verbs=CREATE)

LOCAL_SUBJECT_ACCESS_REVIEW = _kind(
    "authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=CREATE
)
SELF_SUBJECT_ACCESS_REVIEW = _kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    cluster=True,
    verbs=CREATE,
)
SELF_SUBJECT_RULES_REVIEW = _kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    cluster=True,
    verbs=CREATE,
)
SUBJECT_ACCESS_REVIEW = _kind(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", cluster=True, verbs=CREATE
)

HORIZONTAL_POD_AUTOSCALER = _kind(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    short="hpa",
    categories="all",
    status=True,
)
HORIZONTAL_POD_AUTOSCALER_V1 = _kind(
    "autoscaling",
    "v1",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    short="hpa",
    categories="all",
    status=True,
)

CRON_JOB = _kind("batch", "v1", "CronJob", "cronjobs", short="cj", categories="all", status=True)
JOB = _kind("batch", "v1", "Job", "jobs", categories="all", status=True)

CERTIFICATE_SIGNING_REQUEST = _kind(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    cluster=True,
    short="csr",
    status=True,
    subresources=(Subresource("approval", GET_PATCH_UPDATE, "CertificateSigningRequest"),),
)

INGRESS_CLASS = _kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", cluster=True)
INGRESS = _kind("networking.k8s.io", "v1", "Ingress", "ingresses", short="ing", status=True)
IP_ADDRESS = _kind("networking.k8s.io", "v1", "IPAddress", "ipaddresses", cluster=True, short="ip")
NETWORK_POLICY = _kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", short="netpol")
SERVICE_CIDR = _kind("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", cluster=True, status=True)

POD_DISRUPTION_BUDGET = _kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", short="pdb", status=True)

CLUSTER_ROLE_BINDING = _kind(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", cluster=True
)
CLUSTER_ROLE = _kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", cluster=True)
ROLE_BINDING = _kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
ROLE = _kind("rbac.authorization.k8s.io", "v1", "Role", "roles")

CSI_DRIVER = _kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers", cluster=True)
CSI_NODE = _kind("storage.k8s.io", "v1", "CSINode", "csinodes", cluster=True)
CSI_STORAGE_CAPACITY = _kind("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities")
STORAGE_CLASS = _kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", cluster=True, short="sc")
VOLUME_ATTACHMENT = _kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", cluster=True, status=True)
VOLUME_ATTRIBUTES_CLASS = _kind(
    "storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", cluster=True, short="vac"
)

_ADMISSION = tuple(
    _kind(
        "admissionregistration.k8s.io",
        "v1",
        kind,
        plural,
        cluster=True,
        categories="api-extensions",
        status=kind == "ValidatingAdmissionPolicy",
    )
    for kind, plural in (
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
        ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    )
)

CUSTOM_RESOURCE_DEFINITION = _kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    cluster=True,
    short="crd crds",
    categories="api-extensions",
    status=True,
)
PRIORITY_CLASS = _kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", cluster=True, short="pc")
LEASE = _kind("coordination.k8s.io", "v1", "Lease", "leases")
RUNTIME_CLASS = _kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", cluster=True)
ENDPOINT_SLICE = _kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")

DEVICE_CLASS = _kind("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", cluster=True)
RESOURCE_CLAIM = _kind("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", status=True)
RESOURCE_CLAIM_TEMPLATE = _kind("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates")
RESOURCE_SLICE = _kind("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", cluster=True)

FLOW_SCHEMA = _kind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", cluster=True, status=True)
PRIORITY_LEVEL = _kind(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    cluster=True,
    status=True,
)

# In the order in which upstream's discovery lists groups, versions and resources.
KINDS: tuple[Kind, ...] = (
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
    API_SERVICE,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    EVENT_V1,
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
    HORIZONTAL_POD_AUTOSCALER,
    HORIZONTAL_POD_AUTOSCALER_V1,
    CRON_JOB,
    JOB,
    CERTIFICATE_SIGNING_REQUEST,
    INGRESS_CLASS,
    INGRESS,
    IP_ADDRESS,
    NETWORK_POLICY,
    SERVICE_CIDR,
    POD_DISRUPTION_BUDGET,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
    VOLUME_ATTRIBUTES_CLASS,
    *_ADMISSION,
    CUSTOM_RESOURCE_DEFINITION,
    PRIORITY_CLASS,
    LEASE,
    RUNTIME_CLASS,
    ENDPOINT_SLICE,
    DEVICE_CLASS,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
    FLOW_SCHEMA,
    PRIORITY_LEVEL,
)

_BY_RESOURCE = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_BY_KIND = {(kind.api_version, kind.kind): kind for kind in KINDS}


def by_resource(group: str, version: str, plural: str) -> Kind | None:
    """The row that serves ``/apis/<group>/<version>/…/<plural>`` (group "" for core)."""
    return _BY_RESOURCE.get((group, version, plural))


def by_kind(api_version: str, kind: str) -> Kind | None:
    """The row of an object's ``apiVersion`` and ``kind``."""
    return _BY_KIND.get((api_version, kind))
