"""API objects to the model. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from apimachinery.objects import Obj, labels, name, namespace
from apimachinery.selectors import EVERYTHING, LabelSelector, SelectorError, from_label_selector
from apimachinery.selectors.labels import NOTHING
from netproxy.policy.model import Block, Group, Peer, Pod, Policy, Port, Rule
from netproxy.views import canonical

_FINISHED = ("Succeeded", "Failed")


def trim_pod(obj: Obj) -> Obj:
    """A Pod without what no policy looks at, for a cache of all pods of the cluster."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    kept = {
        field: meta[field] for field in ("namespace", "name", "resourceVersion", "creationTimestamp") if field in meta
    }
    kept["labels"] = meta.get("labels") or {}
    thin = [{"ports": found} for c in _listening(spec) if (found := [p for p in c.get("ports") or () if p.get("name")])]
    return {
        "metadata": kept,
        "spec": {
            "nodeName": spec.get("nodeName", ""),
            "hostNetwork": bool(spec.get("hostNetwork")),
            "containers": thin,
        },
        "status": {field: status[field] for field in ("phase", "podIPs", "podIP") if field in status},
    }


def trim_namespace(obj: Obj) -> Obj:
    """A Namespace's labels."""
    meta = obj["metadata"]
    kept = {
        "name": meta["name"],
        "resourceVersion": meta.get("resourceVersion", ""),
        "labels": meta.get("labels") or {},
    }
    return {"metadata": kept}


def pod(obj: Obj | None) -> Pod | None:
    """None for what no policy concerns: no pod, one of the host's network, one that has finished."""
    if obj is None:
        return None
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if spec.get("hostNetwork") or status.get("phase") in _FINISHED:
        return None
    ips = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    if not ips and status.get("podIP"):
        ips = [status["podIP"]]
    ports = {
        (port.get("protocol") or "TCP", port["name"]): port["containerPort"]
        for container in _listening(spec)
        for port in container.get("ports") or ()
        if port.get("name")
    }
    return Pod(
        namespace=namespace(obj),
        name=name(obj),
        labels=labels(obj),
        ips=tuple(canonical(ip) for ip in ips),
        ports=tuple((protocol, called, number) for (protocol, called), number in sorted(ports.items())),
        node=spec.get("nodeName") or "",
        born=obj["metadata"].get("creationTimestamp") or "",
    )


def _listening(spec: Obj) -> Iterator[Obj]:
    yield from spec.get("containers") or ()
    yield from (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")


def policy(obj: Obj) -> Policy:
    """A NetworkPolicy, policyTypes defaulted as upstream does. A selector that cannot be read selects no peer, and as
    the policy's own every pod of the namespace: in doubt nothing is let through."""
    spec = obj.get("spec") or {}
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    space = namespace(obj)
    try:
        selector = from_label_selector(spec.get("podSelector") or {})
    except SelectorError:
        selector = EVERYTHING
    return Policy(
        namespace=space,
        name=name(obj),
        selector=selector,
        ingress=_rules(spec.get("ingress"), "from", space) if "Ingress" in types else None,
        egress=_rules(spec.get("egress"), "to", space) if "Egress" in types else None,
    )


def _rules(listed: Iterable[Obj] | None, word: str, space: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            peers=tuple(_peers(rule[word], space)) if rule.get(word) else None,
            ports=tuple(_port(port) for port in rule["ports"]) if rule.get("ports") else None,
        )
        for rule in listed or ()
    )


def _peers(listed: Iterable[Obj], space: str) -> Iterator[Peer]:
    for peer in listed:
        block = peer.get("ipBlock")
        if block is None:
            yield _group(peer, space)
            continue
        try:
            yield Block(_network(block["cidr"]), tuple(sorted(map(_network, block.get("except") or ()))))
        except (KeyError, ValueError):
            continue  # what cannot be read lets nobody in


def _group(peer: Obj, space: str) -> Group:
    pods = _selector(peer["podSelector"]) if peer.get("podSelector") is not None else EVERYTHING
    if peer.get("namespaceSelector") is None:
        return Group(space, EVERYTHING, pods)
    return Group("", _selector(peer["namespaceSelector"]), pods)


def _selector(obj: Obj) -> LabelSelector:
    try:
        return from_label_selector(obj)
    except SelectorError:
        return NOTHING


def _port(obj: Obj) -> Port:
    protocol, port = obj.get("protocol") or "TCP", obj.get("port")
    if port is None:
        return Port(protocol)
    if isinstance(port, str):
        return Port(protocol, name=port)
    return Port(protocol, port, obj.get("endPort") or port)


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def node_ranges(node: Obj | None) -> tuple[str, ...]:
    """Where this node's pods get their addresses, as its Node says."""
    spec: dict[str, Any] = (node or {}).get("spec") or {}
    found = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return tuple(sorted(map(_network, found)))
