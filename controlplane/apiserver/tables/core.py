"""Tables of the core group's everyday kinds: services, nodes, namespaces, configuration, events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj, condition
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, WIDE_NAME, Table, text, wide

ROLE_LABEL_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def _load_balancer(status: Obj) -> list[str]:
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    return sorted({i.get("ip") or i.get("hostname") for i in ingress if i.get("ip") or i.get("hostname")})


def _external(obj: Obj) -> str:
    spec = obj["spec"]
    addresses = list(spec.get("externalIPs") or ())
    kind = spec.get("type", "ClusterIP")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        addresses = _load_balancer(obj.get("status") or {}) + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or texts.NONE


def _port(port: Obj) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{node}/{port.get('protocol', 'TCP')}"


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [
        texts.name(obj),
        spec.get("type", ""),
        addresses[0] if addresses else texts.NONE,
        _external(obj),
        texts.joined(_port(p) for p in spec.get("ports") or ()) or texts.NONE,
        texts.age(obj, now),
        texts.labels(spec.get("selector")),
    ]


def node_roles(obj: Obj) -> str:
    roles = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(ROLE_LABEL_PREFIX) and len(key) > len(ROLE_LABEL_PREFIX):
            roles.add(key[len(ROLE_LABEL_PREFIX) :])
        elif key == ROLE_LABEL and value:
            roles.add(value)
    return ",".join(sorted(roles)) or texts.NONE


def _kernel(info: Obj) -> str:
    version, architecture = info.get("kernelVersion") or texts.UNKNOWN, info.get("architecture")
    return f"{version} ({architecture})" if architecture else str(version)


def _node(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    info, addresses = status.get("nodeInfo") or {}, status.get("addresses") or ()
    ready = condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (obj.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    found = {
        kind: next((a["address"] for a in addresses if a.get("type") == kind), texts.NONE) for kind in NODE_ADDRESSES
    }
    return [
        texts.name(obj),
        ",".join(words),
        node_roles(obj),
        texts.age(obj, now),
        info.get("kubeletVersion", ""),
        *found.values(),
        info.get("osImage") or texts.UNKNOWN,
        _kernel(info),
        info.get("containerRuntimeVersion") or texts.UNKNOWN,
    ]


NODE_ADDRESSES = ("InternalIP", "ExternalIP")


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), (obj.get("status") or {}).get("phase", ""), texts.age(obj, now)]


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    return [
        texts.name(obj),
        len(obj.get("data") or ()) + len(obj.get("binaryData") or ()),
        texts.age(obj, now),
    ]


def _secret(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), obj.get("type", ""), len(obj.get("data") or ()), texts.age(obj, now)]


def _service_account(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), texts.age(obj, now)]


def _join_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [a.get("ip", "") for a in subset.get("addresses") or ()]
        ports = [p.get("port", 0) for p in subset.get("ports") or ()]
        found += [_join_port(a, p) for p in ports for a in addresses] if ports else addresses
    return [
        texts.name(obj),
        texts.shortened(found) if obj.get("subsets") else texts.NONE,
        texts.age(obj, now),
    ]


def _slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(p["port"]) if p.get("port") is not None else p.get("name", "*") for p in obj.get("ports") or ()]
    addresses = [a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()]
    return [
        texts.name(obj),
        obj.get("addressType", ""),
        texts.shortened(ports) or texts.UNSET,
        texts.shortened(addresses) or texts.UNSET,
        texts.age(obj, now),
    ]


def _event(obj: Obj, now: datetime) -> list[Any]:
    """Both event kinds: events.k8s.io names the same fields differently."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    first_stamp = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last_stamp = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first_stamp
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series := obj.get("series"):
        last_stamp, count = series.get("lastObservedTime"), series.get("count", 0)
    kind, name = about.get("kind", "").lower(), about.get("name", "")
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        texts.since(last_stamp, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        texts.since(first_stamp, now),
        count,
        texts.name(obj),
    ]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or {}
    texts_of: dict[bool, list[str]] = {False: [], True: []}
    for resource in sorted(hard):
        texts_of[resource.startswith("limits.")].append(f"{resource}: {used.get(resource, 0)}/{hard[resource]}")
    return [texts.name(obj), ", ".join(texts_of[False]), ", ".join(texts_of[True]), texts.age(obj, now)]


EVENT = Table(
    columns=(
        text("Last Seen", "core.v1.Event#lastTimestamp"),
        text("Type", "core.v1.Event#type"),
        text("Reason", "core.v1.Event#reason"),
        text("Object", "core.v1.Event#involvedObject"),
        wide("Subobject", "core.v1.ObjectReference#fieldPath"),
        wide("Source", "core.v1.Event#source"),
        text("Message", "core.v1.Event#message"),
        wide("First Seen", "core.v1.Event#firstTimestamp"),
        wide("Count", "core.v1.Event#count"),
        WIDE_NAME,
    ),
    cells=_event,
)

SERVICE = Table(
    columns=(
        NAME,
        text("Type", "core.v1.ServiceSpec#type"),
        text("Cluster-IP", "core.v1.ServiceSpec#clusterIP"),
        text("External-IP", "core.v1.ServiceSpec#externalIPs"),
        text("Port(s)", "core.v1.ServiceSpec#ports"),
        AGE,
        wide("Selector", "core.v1.ServiceSpec#selector"),
    ),
    cells=_service,
)
NODE = Table(
    columns=(
        NAME,
        text("Status", "The status of the node"),
        text("Roles", "The roles of the node"),
        AGE,
        text("Version", "core.v1.NodeSystemInfo#kubeletVersion"),
        wide("Internal-IP", "core.v1.NodeStatus#addresses"),
        wide("External-IP", "core.v1.NodeStatus#addresses"),
        wide("OS-Image", "core.v1.NodeSystemInfo#osImage"),
        wide("Kernel-Version", "core.v1.NodeSystemInfo#kernelVersion"),
        wide("Container-Runtime", "core.v1.NodeSystemInfo#containerRuntimeVersion"),
    ),
    cells=_node,
)
NAMESPACE = Table(
    columns=(
        NAME,
        text("Status", "The status of the namespace"),
        AGE,
    ),
    cells=_namespace,
)
CONFIG_MAP = Table(
    columns=(
        NAME,
        text("Data", "core.v1.ConfigMap#data"),
        AGE,
    ),
    cells=_config_map,
)
SECRET = Table(
    columns=(
        NAME,
        text("Type", "core.v1.Secret#type"),
        text("Data", "core.v1.Secret#data"),
        AGE,
    ),
    cells=_secret,
)
SERVICE_ACCOUNT = Table(
    columns=(
        NAME,
        AGE,
    ),
    cells=_service_account,
)
ENDPOINTS = Table(
    columns=(
        NAME,
        text("Endpoints", "core.v1.Endpoints#subsets"),
        AGE,
    ),
    cells=_endpoints,
)
ENDPOINT_SLICE = Table(
    columns=(
        NAME,
        text("AddressType", "discovery.v1.EndpointSlice#addressType"),
        text("Ports", "discovery.v1.EndpointSlice#ports"),
        text("Endpoints", "discovery.v1.EndpointSlice#endpoints"),
        AGE,
    ),
    cells=_slice,
)
RESOURCE_QUOTA = Table(
    columns=(
        NAME,
        text(
            "Request",
            "Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        text(
            "Limit",
            "Limits control the maximum amount of cpu/memory that a container may use "
            "independent of contention on the node.",
        ),
        AGE,
    ),
    cells=_quota,
)
