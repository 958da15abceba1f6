"""A pod as an endpoint of a Service, and the Service's ports as that pod has them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apimachinery.objects import Obj, is_deleting, labels, name, namespace, uid
from controlplane.controllers import names, pod_status

FAMILIES = {"IPv4": 4, "IPv6": 6}

Port = tuple[str, int, str, str | None]
"""(name, number, protocol, application protocol) of a slice's port."""


def families(service: Obj) -> list[str]:
    """Address families to keep slices for, as address types."""
    spec = service.get("spec") or {}
    stated = [f for f in spec.get("ipFamilies") or () if f in FAMILIES]
    if stated:
        return stated
    address = spec.get("clusterIP") or ""
    return ["IPv6"] if ":" in address else ["IPv4"]


def address_of(pod: Obj, family: str) -> str | None:
    """The pod's address of the family, or None."""
    status = pod.get("status") or {}
    found = [entry.get("ip") for entry in status.get("podIPs") or ()] or [status.get("podIP")]
    for text in found:
        if text and ipaddress.ip_address(text).version == FAMILIES[family]:
            return str(text)
    return None


def is_candidate(pod: Obj) -> bool:
    """A pod that finished is no endpoint; one on its way out still is, marked as terminating."""
    return pod_status.phase(pod) not in pod_status.FINAL


def ports_of(service: Obj, pod: Obj) -> tuple[Port, ...]:
    """The Service's ports on this pod; those whose target name the pod does not have are left out."""
    result = []
    for port in (service.get("spec") or {}).get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        target = port.get("targetPort")
        if target in (None, 0, ""):
            target = port.get("port")
        number = target if isinstance(target, int) else _named(pod, str(target), protocol)
        if number is not None:
            result.append((port.get("name") or "", number, protocol, port.get("appProtocol")))
    return tuple(result)


def _named(pod: Obj, wanted: str, protocol: str) -> int | None:
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == wanted and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def endpoint(service: Obj, pod: Obj, address: str, zones: Mapping[str, str]) -> Obj:
    """The v1 Endpoint. `zones`: node name to zone."""
    spec = service.get("spec") or {}
    pod_spec = pod.get("spec") or {}
    serving, terminating = pod_status.is_ready(pod), is_deleting(pod)
    result: Obj = {
        "addresses": [address],
        "conditions": {
            "ready": bool(spec.get("publishNotReadyAddresses")) or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
    }
    if pod_spec.get("hostname") and pod_spec.get("subdomain") == name(service):
        result["hostname"] = pod_spec["hostname"]
    result["targetRef"] = {"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)}
    node = pod_spec.get("nodeName")
    if node:
        result["nodeName"] = node
        if zones.get(node):
            result["zone"] = zones[node]
    return result


def identity(entry: Obj) -> tuple[Any, ...]:
    """What makes two endpoints the same one: address and pod."""
    target = entry.get("targetRef") or {}
    return (*sorted(entry.get("addresses") or ()), target.get("uid"))


def relevant(pod: Obj) -> tuple[Any, ...]:
    """Everything of a pod that shows in a slice."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return (
        labels(pod),
        pod_status.is_ready(pod),
        is_deleting(pod),
        is_candidate(pod),
        status.get("podIP"),
        status.get("podIPs"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


def slice_labels(service: Obj) -> dict[str, str]:
    """The Service's own labels beside those that make the slice findable."""
    result = {k: v for k, v in labels(service).items() if k != names.HEADLESS}
    if (service.get("spec") or {}).get("clusterIP") == "None":
        result[names.HEADLESS] = ""
    result[names.SERVICE_NAME] = name(service)
    result[names.SLICE_MANAGED_BY] = names.SLICE_MANAGER
    return result


def port_objects(ports: Iterable[Port]) -> list[Obj]:
    result = []
    for port_name, number, protocol, app in ports:
        port: Obj = {"name": port_name, "port": number, "protocol": protocol}
        if app is not None:
            port["appProtocol"] = app
        result.append(port)
    return result


def port_key(ports: Sequence[Obj] | None) -> tuple[Port, ...]:
    """The same value for slices of the same ports in whatever order."""
    listed = [
        (p.get("name") or "", int(p.get("port") or 0), p.get("protocol") or "TCP", p.get("appProtocol"))
        for p in ports or ()
    ]
    return tuple(sorted(listed, key=str))
