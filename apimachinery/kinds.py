"""What a kind is to those who speak of it, and names for the published kinds of Kubernetes v1.36.

A Kind says what discovery says (names, scope, verbs, subresources) and, from that, every path follows. The constants
are a vocabulary, not a list: what a server serves is its own catalog's to say (controlplane/apiserver/resources), and
clients that have to know all kinds ask for them by discovery.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

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
    """A part of an object with its own path; `group`/`version`/`kind` name what its body is."""

    name: str
    verbs: Verbs
    kind: str
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Kind:
    """One resource of one API version.

    `storage` names the collection its objects live in: versions and groups that show the same objects
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
    # The version that its objects are written in, where they say so: of custom resources alone.
    stored_version: str = ""
    # The kind of a list, where it is not the usual name.
    list_name: str = ""

    @cached_property
    def api_version(self) -> str:
        """`v1` for the core group, else `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def resource(self) -> str:
        """The name upstream prints in messages: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return self.list_name or self.kind + "List"

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


def define(
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
    """A Kind by its differences from the usual one; short names and categories are separated by spaces."""
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
    return define(
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

API_SERVICE = define(
    "apiregistration.k8s.io",
    "v1",
    "APIService",
    "apiservices",
    cluster=True,
    categories="api-extensions",
    status=True,
)

CONTROLLER_REVISION = define("apps", "v1", "ControllerRevision", "controllerrevisions")
DAEMON_SET = define("apps", "v1", "DaemonSet", "daemonsets", short="ds", categories="all", status=True)
DEPLOYMENT = define(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    short="deploy",
    categories="all",
    subresources=(_SCALE,),
    status=True,
)
REPLICA_SET = define(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    short="rs",
    categories="all",
    subresources=(_SCALE,),
    status=True,
)
STATEFUL_SET = define(
    "apps",
    "v1",
    "StatefulSet",
    "statefulsets",
    short="sts",
    categories="all",
    subresources=(_SCALE,),
    status=True,
)

EVENT_V1 = define("events.k8s.io", "v1", "Event", "events", short="ev", storage="events")

SELF_SUBJECT_REVIEW = define(
    "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", cluster=True, verbs=CREATE
)
TOKEN_REVIEW = define("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", cluster=True, verbs=CREATE)

LOCAL_SUBJECT_ACCESS_REVIEW = define(
    "authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=CREATE
)
SELF_SUBJECT_ACCESS_REVIEW = define(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    cluster=True,
    verbs=CREATE,
)
SELF_SUBJECT_RULES_REVIEW = define(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    cluster=True,
    verbs=CREATE,
)
SUBJECT_ACCESS_REVIEW = define(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", cluster=True, verbs=CREATE
)

HORIZONTAL_POD_AUTOSCALER = define(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    short="hpa",
    categories="all",
    status=True,
)
HORIZONTAL_POD_AUTOSCALER_V1 = define(
    "autoscaling",
    "v1",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    short="hpa",
    categories="all",
    status=True,
)

CRON_JOB = define("batch", "v1", "CronJob", "cronjobs", short="cj", categories="all", status=True)
JOB = define("batch", "v1", "Job", "jobs", categories="all", status=True)

CERTIFICATE_SIGNING_REQUEST = define(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    cluster=True,
    short="csr",
    status=True,
    subresources=(Subresource("approval", GET_PATCH_UPDATE, "CertificateSigningRequest"),),
)

INGRESS_CLASS = define("networking.k8s.io", "v1", "IngressClass", "ingressclasses", cluster=True)
INGRESS = define("networking.k8s.io", "v1", "Ingress", "ingresses", short="ing", status=True)
IP_ADDRESS = define("networking.k8s.io", "v1", "IPAddress", "ipaddresses", cluster=True, short="ip")
NETWORK_POLICY = define("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", short="netpol")
SERVICE_CIDR = define("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", cluster=True, status=True)

POD_DISRUPTION_BUDGET = define("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", short="pdb", status=True)

CLUSTER_ROLE_BINDING = define(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", cluster=True
)
CLUSTER_ROLE = define("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", cluster=True)
ROLE_BINDING = define("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
ROLE = define("rbac.authorization.k8s.io", "v1", "Role", "roles")

CSI_DRIVER = define("storage.k8s.io", "v1", "CSIDriver", "csidrivers", cluster=True)
CSI_NODE = define("storage.k8s.io", "v1", "CSINode", "csinodes", cluster=True)
CSI_STORAGE_CAPACITY = define("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities")
STORAGE_CLASS = define("storage.k8s.io", "v1", "StorageClass", "storageclasses", cluster=True, short="sc")
VOLUME_ATTACHMENT = define("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", cluster=True, status=True)
VOLUME_ATTRIBUTES_CLASS = define(
    "storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", cluster=True, short="vac"
)


def _admission(kind: str, plural: str, status: bool = False) -> Kind:
    group = "admissionregistration.k8s.io"
    return define(group, "v1", kind, plural, cluster=True, categories="api-extensions", status=status)


MUTATING_ADMISSION_POLICY = _admission("MutatingAdmissionPolicy", "mutatingadmissionpolicies")
MUTATING_ADMISSION_POLICY_BINDING = _admission("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings")
MUTATING_WEBHOOK_CONFIGURATION = _admission("MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
VALIDATING_ADMISSION_POLICY = _admission("ValidatingAdmissionPolicy", "validatingadmissionpolicies", status=True)
VALIDATING_ADMISSION_POLICY_BINDING = _admission(
    "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"
)
VALIDATING_WEBHOOK_CONFIGURATION = _admission("ValidatingWebhookConfiguration", "validatingwebhookconfigurations")

CUSTOM_RESOURCE_DEFINITION = define(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    cluster=True,
    short="crd crds",
    categories="api-extensions",
    status=True,
)
PRIORITY_CLASS = define("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", cluster=True, short="pc")
LEASE = define("coordination.k8s.io", "v1", "Lease", "leases")
RUNTIME_CLASS = define("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", cluster=True)
ENDPOINT_SLICE = define("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")

DEVICE_CLASS = define("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", cluster=True)
RESOURCE_CLAIM = define("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", status=True)
RESOURCE_CLAIM_TEMPLATE = define("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates")
RESOURCE_SLICE = define("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", cluster=True)

FLOW_SCHEMA = define("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", cluster=True, status=True)
PRIORITY_LEVEL = define(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    cluster=True,
    status=True,
)

NODE_METRICS = define("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", cluster=True, verbs=GET_LIST)
POD_METRICS = define("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", verbs=GET_LIST)
