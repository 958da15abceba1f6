"""Tables of registrations: RBAC, admission, aggregation, certificates, flow control, priority, leases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj, condition
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Column, Table, flag, number, text, wide

IMMUTABLE = " This field is immutable."


def _binding(obj: Obj, now: datetime) -> list[Any]:
    subjects = obj.get("subjects") or ()
    role = obj.get("roleRef") or {}
    named = {kind: ", ".join(s["name"] for s in subjects if s.get("kind") == kind) for kind in ("User", "Group")}
    accounts = ", ".join(f"{s.get('namespace', '')}/{s['name']}" for s in subjects if s.get("kind") == "ServiceAccount")
    return [
        texts.name(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        texts.age(obj, now),
        *named.values(),
        accounts,
    ]


def _webhooks(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), len(obj.get("webhooks") or ()), texts.age(obj, now)]


def _param_kind(obj: Obj) -> str:
    found = (obj.get("spec") or {}).get("paramKind")
    return f"{found.get('apiVersion', '')}/{found.get('kind', '')}" if found else texts.UNSET


def _validating_policy(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), len(obj["spec"].get("validations") or ()), _param_kind(obj), texts.age(obj, now)]


def _mutating_policy(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), len(obj["spec"].get("mutations") or ()), _param_kind(obj), texts.age(obj, now)]


def _go_selector(found: Obj) -> str:
    """A LabelSelector in the notation of Go's generated String methods, which upstream shows here."""
    pairs = "".join(f"{key}: {value}," for key, value in sorted((found.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{e.get('key', '')},Operator:{e.get('operator', '')},"
        f"Values:[{' '.join(e.get('values') or ())}],}},"
        for e in found.get("matchExpressions") or ()
    )
    labels = f"MatchLabels:map[string]string{{{pairs}}}"
    return f"&LabelSelector{{{labels},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"


def _component(obj: Obj, now: datetime) -> list[Any]:
    health = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), None)
    if health is None:
        return [texts.name(obj), "Unknown", "", ""]
    shown = "Healthy" if health.get("status") == "True" else "Unhealthy"
    return [texts.name(obj), shown, health.get("message", ""), health.get("error", "")]


def _policy_binding(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    reference = spec.get("paramRef")
    shown = texts.UNSET
    if reference and reference.get("name"):
        namespace = reference.get("namespace")
        shown = f"{namespace}/{reference['name']}" if namespace else f"*/{reference['name']}"
    elif reference and reference.get("selector") is not None:
        shown = _go_selector(reference["selector"])
    return [texts.name(obj), spec.get("policyName", ""), shown, texts.age(obj, now)]


def _api_service(obj: Obj, now: datetime) -> list[Any]:
    service = (obj.get("spec") or {}).get("service")
    available = condition(obj, "Available")
    word = "Unknown"
    if available:
        word = str(available.get("status", "Unknown"))
        word += f" ({available['reason']})" if word != "True" and available.get("reason") else ""
    target = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [texts.name(obj), target, word, texts.age(obj, now)]


def _signing_request(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    found = {c.get("type") for c in status.get("conditions") or ()}
    word = "Denied" if "Denied" in found else "Approved" if "Approved" in found else "Pending"
    word += (",Failed" if "Failed" in found else "") + (",Issued" if status.get("certificate") else "")
    seconds = spec.get("expirationSeconds")
    return [
        texts.name(obj),
        texts.age(obj, now),
        spec.get("signerName") or texts.NONE,
        spec.get("username", ""),
        texts.NONE if seconds is None else texts.human_duration(seconds),
        word,
    ]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", texts.age(obj, now)]


def _flow_schema(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    dangling = condition(obj, "Dangling")
    return [
        texts.name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or texts.NONE,
        texts.age(obj, now),
        (dangling or {}).get("status", "?"),
    ]


def _priority_level(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    limited = spec.get("limited")
    queuing = ((limited or {}).get("limitResponse") or {}).get("queuing")
    return [
        texts.name(obj),
        spec.get("type", ""),
        texts.NONE if limited is None else limited.get("nominalConcurrencyShares", texts.NONE),
        *(texts.NONE if queuing is None else queuing.get(k, 0) for k in ("queues", "handSize", "queueLengthLimit")),
        texts.age(obj, now),
    ]


def _priority_class(obj: Obj, now: datetime) -> list[Any]:
    return [
        texts.name(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        texts.age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


ROLE_BINDING = Table(
    columns=(
        NAME,
        Column("Role", "rbac.v1.RoleBinding#roleRef", cut=IMMUTABLE),
        AGE,
        wide("Users", "Users in the roleBinding"),
        wide("Groups", "Groups in the roleBinding"),
        wide("ServiceAccounts", "ServiceAccounts in the roleBinding"),
    ),
    cells=_binding,
)
CLUSTER_ROLE_BINDING = Table(
    columns=(
        NAME,
        Column("Role", "rbac.v1.ClusterRoleBinding#roleRef", cut=IMMUTABLE),
        AGE,
        wide("Users", "Users in the clusterRoleBinding"),
        wide("Groups", "Groups in the clusterRoleBinding"),
        wide("ServiceAccounts", "ServiceAccounts in the clusterRoleBinding"),
    ),
    cells=_binding,
)
VALIDATING_WEBHOOK_CONFIGURATION = Table(
    columns=(
        NAME,
        number("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
        AGE,
    ),
    cells=_webhooks,
)
MUTATING_WEBHOOK_CONFIGURATION = Table(
    columns=(
        NAME,
        number("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
        AGE,
    ),
    cells=_webhooks,
)
VALIDATING_ADMISSION_POLICY = Table(
    columns=(
        NAME,
        number(
            "Validations",
            "Validations indicates the number of validation rules defined in this configuration",
        ),
        text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    ),
    cells=_validating_policy,
)
MUTATING_ADMISSION_POLICY = Table(
    columns=(
        NAME,
        number(
            "Mutations",
            "Mutation indicates the number of mutations rules defined in this configuration",
        ),
        text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    ),
    cells=_mutating_policy,
)
VALIDATING_ADMISSION_POLICY_BINDING = Table(
    columns=(
        NAME,
        text(
            "PolicyName",
            "PolicyName indicates the policy definition which the policy binding binded to",
        ),
        text("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
        AGE,
    ),
    cells=_policy_binding,
)
MUTATING_ADMISSION_POLICY_BINDING = Table(
    columns=(
        NAME,
        text(
            "PolicyName",
            "PolicyName indicates the policy definition which the policy binding binded to",
        ),
        text("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
        AGE,
    ),
    cells=_policy_binding,
)
COMPONENT_STATUS = Table(
    columns=(
        NAME,
        text("Status", "Status of the component conditions"),
        text("Message", "Message of the component conditions"),
        text("Error", "Error of the component conditions"),
    ),
    cells=_component,
)
API_SERVICE = Table(
    columns=(
        NAME,
        text("Service", "The reference to the service that hosts this API endpoint."),
        text("Available", "Whether this service is available."),
        AGE,
    ),
    cells=_api_service,
)
# Upstream describes these columns by a version that is served no more.
_BETA_SIGNER = (
    "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will "
    "be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    "
    '"kubernetes.io/kube-apiserver-client-kubelet".\n 2. If it\'s a kubelet serving certificate, it is assigned\n    '
    '"kubernetes.io/kubelet-serving".\n 3. Otherwise, it is assigned "kubernetes.io/legacy-unknown".\n'
    "Distribution of trust for signers happens out of band. You can select on this field using `spec.signerName`."
)
CERTIFICATE_SIGNING_REQUEST = Table(
    columns=(
        NAME,
        AGE,
        text("SignerName", _BETA_SIGNER),
        text("Requestor", "Base64-encoded PKCS#10 CSR data"),
        text("RequestedDuration", "certificates.v1.CertificateSigningRequestSpec#expirationSeconds"),
        text("Condition", "Conditions applied to the request, such as approval or denial."),
    ),
    cells=_signing_request,
)
LEASE = Table(
    columns=(
        NAME,
        text("Holder", "coordination.v1.LeaseSpec#holderIdentity"),
        AGE,
    ),
    cells=_lease,
)
FLOW_SCHEMA = Table(
    columns=(
        NAME,
        text("PriorityLevel", "flowcontrol.v1.PriorityLevelConfigurationReference#name"),
        text("MatchingPrecedence", "flowcontrol.v1.FlowSchemaSpec#matchingPrecedence"),
        text("DistinguisherMethod", "flowcontrol.v1.FlowSchemaSpec#distinguisherMethod"),
        AGE,
        text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
    ),
    cells=_flow_schema,
)
PRIORITY_LEVEL = Table(
    columns=(
        NAME,
        text("Type", "flowcontrol.v1.PriorityLevelConfigurationSpec#type"),
        text(
            "NominalConcurrencyShares",
            "flowcontrol.v1.LimitedPriorityLevelConfiguration#nominalConcurrencyShares",
        ),
        text("Queues", "flowcontrol.v1.QueuingConfiguration#queues"),
        text("HandSize", "flowcontrol.v1.QueuingConfiguration#handSize"),
        text("QueueLengthLimit", "flowcontrol.v1.QueuingConfiguration#queueLengthLimit"),
        AGE,
    ),
    cells=_priority_level,
)
PRIORITY_CLASS = Table(
    columns=(
        NAME,
        number("Value", "scheduling.v1.PriorityClass#value"),
        flag("Global-Default", "scheduling.v1.PriorityClass#globalDefault"),
        AGE,
        text("PreemptionPolicy", "scheduling.v1.PriorityClass#preemptionPolicy"),
    ),
    cells=_priority_class,
)
