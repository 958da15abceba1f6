"""Words to an end of a connection: pod/NAME, service/NAME, node/NAME, an address, or a bare name. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence

from apimachinery.objects import Obj, name, namespace
from netproxy.trace.model import End, Objects, TraceError
from netproxy.views import canonical, cluster_ips

_KINDS = {
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "service": "service",
    "services": "service",
    "svc": "service",
    "node": "node",
    "nodes": "node",
    "no": "node",
}


def split_port(text: str) -> tuple[str, str]:
    """The end and its port ("" without one); an IPv6 address with a port is in brackets."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address, port.removeprefix(":")
    if text.count(":") != 1:
        return text, ""
    end, _, port = text.partition(":")
    return end, port


def resolve(text: str, objects: Objects, space: str) -> End:
    """An end by its words; TraceError with what to write when there is none of that name."""
    head, slash, rest = text.partition("/")
    kinds: tuple[str, ...] = ("pod", "service", "node")
    if slash and head.lower() in _KINDS:
        kinds, text = (_KINDS[head.lower()],), rest
    elif ip := _address(text):
        return _of_address(ip, objects)
    found = next((end for kind in kinds for end in _FINDERS[kind](objects, text, space)), None)
    if found is None:
        raise TraceError(
            f"there is no {' or '.join(kinds)} {text!r} in namespace {space}; "
            "write pod/NAME, service/NAME, node/NAME or an address, and -n for another namespace"
        )
    return found


def _address(text: str) -> str:
    try:
        return canonical(str(ipaddress.ip_address(text)))
    except ValueError:
        return ""


def _named(objects: Sequence[Obj], text: str, space: str) -> Iterator[Obj]:
    wanted_space, slash, wanted = text.partition("/")
    if not slash:
        wanted_space, wanted = space, text
    yield from (obj for obj in objects if name(obj) == wanted and namespace(obj) in ("", wanted_space))


def _pods(objects: Objects, text: str, space: str) -> Iterator[End]:
    for pod in _named(objects.pods, text, space):
        if not (ips := pod_ips(pod)):
            raise TraceError(f"pod {namespace(pod)}/{name(pod)} has no address yet")
        yield _pod(pod, ips[0])


def _pod(pod: Obj, ip: str) -> End:
    ports = [p["containerPort"] for c in pod["spec"].get("containers") or () for p in c.get("ports") or ()]
    node = pod["spec"].get("nodeName") or ""
    title = f"pod {namespace(pod)}/{name(pod)} on {node or 'no node'}"
    # A pod of the host's network is a process of its node.
    own = None if pod["spec"].get("hostNetwork") else pod
    return End(title, ip, node, own, ports[0] if ports else 0)


def _services(objects: Objects, text: str, space: str) -> Iterator[End]:
    for service in _named(objects.services, text, space):
        ips = cluster_ips(service.get("spec") or {})
        if not ips:
            raise TraceError(f"Service {namespace(service)}/{name(service)} has no cluster IP: ask for one of its pods")
        ports = service["spec"].get("ports") or [{}]
        yield End(f"Service {namespace(service)}/{name(service)}", ips[0], port=ports[0].get("port", 0))


def _nodes(objects: Objects, text: str, _space: str) -> Iterator[End]:
    for node in objects.nodes:
        if name(node) == text and (ips := node_ips(node)):
            yield End(f"node {text}", ips[0], text)


def _of_address(ip: str, objects: Objects) -> End:
    for pod in objects.pods:
        if ip in pod_ips(pod) and not pod["spec"].get("hostNetwork") and not finished(pod):
            return _pod(pod, ip)
    for node in objects.nodes:
        if ip in node_ips(node):
            return End(f"node {name(node)}", ip, name(node))
    if objects.own_dns(ip):
        return End("the cluster's DNS, answered by the node itself", ip)
    return End("an address outside", ip)


_FINDERS: dict[str, Callable[[Objects, str, str], Iterator[End]]] = {
    "pod": _pods,
    "service": _services,
    "node": _nodes,
}


def finished(pod: Obj) -> bool:
    """Whether its address may be another's by now."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def pod_ips(pod: Obj) -> tuple[str, ...]:
    """Its addresses, in canonical text."""
    status = pod.get("status") or {}
    listed = [entry["ip"] for entry in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return tuple(canonical(ip) for ip in listed if ip)


def node_ips(node: Obj) -> tuple[str, ...]:
    """Its own addresses."""
    listed = (node.get("status") or {}).get("addresses") or ()
    return tuple(canonical(a["address"]) for a in listed if a.get("type") in ("InternalIP", "ExternalIP"))
