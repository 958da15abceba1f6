"""Nodes that enforce policies without a kernel: API objects in, texts applied to simulated rules, packets traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from netproxy.ground import grounds
from netproxy.model import Family
from netproxy.nftables import diff
from netproxy.nftables.layout import Layout
from netproxy.policy import base
from netproxy.policy.enforcer import Claims
from netproxy.policy.model import cluster_dns
from netproxy.policy.tracker import Changes, PolicyTracker
from tests.netproxy import nft_tracer
from tests.netproxy.packet import UNTOUCHED, Packet
from tests.netproxy.simulated import BASE

Obj = dict[str, Any]
FAMILIES = (Family.IPV4, Family.IPV6)
DNS = "10.96.0.10"
GROUNDS = grounds(replace(BASE, local_vips=(DNS,)), FAMILIES)
LAYOUTS: Mapping[Family, Layout] = {ground.family: base.layout(ground) for ground in GROUNDS}


def pod(
    space: str, name: str, ip: str, node: str = "node1", labels: Mapping[str, str] | None = None, **more: Any
) -> Obj:
    """A running pod with two addresses: of `ip` (10.244.N.M) and fd00:244:N::M. It calls its ports web and dns."""
    last = ip.split(".")
    ips = [{"ip": ip}, {"ip": f"fd00:244:{last[2]}::{last[3]}"}] if ip else []
    ports = more.pop("ports", [("web", 80, "TCP"), ("dns", 53, "UDP")])
    containers = [{"ports": [{"name": n, "containerPort": p, "protocol": q} for n, p, q in ports]}]
    return {
        "metadata": {
            "namespace": space,
            "name": name,
            "labels": dict({"pod": name} if labels is None else labels),
            "creationTimestamp": more.pop("born", "2026-01-01T00:00:00Z"),
        },
        "spec": {"nodeName": node, "hostNetwork": more.pop("host", False), "containers": containers},
        "status": {"phase": more.pop("phase", "Running"), "podIPs": ips},
    }


def namespace(name: str, **labels: str) -> Obj:
    """With the label every namespace has, and its own name as `ns`."""
    return {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, "ns": name, **labels}}}


def policy(space: str, name: str = "policy", **spec: Any) -> Obj:
    """A NetworkPolicy; without a selector it selects every pod of the namespace."""
    return {"metadata": {"namespace": space, "name": name}, "spec": {"podSelector": {}, **spec}}


def copy_of(ip: str) -> str:
    """The IPv6 address of the pod with this IPv4 address."""
    part = ip.split(".")
    return f"fd00:244:{part[2]}::{part[3]}"


class Node:
    """One node's enforcement: `sync` and `rebuild` go the enforcer's way, by the same texts."""

    def __init__(self, name: str) -> None:
        self.tracker = PolicyTracker(name, lambda: None, (cluster_dns((DNS,)),))
        number = name.removeprefix("node")
        self.tracker.ranges_changed((f"10.244.{number}.0/24", f"fd00:244:{number}::/64"))
        self.tables = {family: nft_tracer.Table() for family in FAMILIES}
        self._claims: Claims | None = None

    def feed(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        """An informer's event; kind: pod, namespace or policy."""
        getattr(self.tracker, f"{kind}_changed")(old, new)

    def sync(self) -> str:
        """Write what differs; returns the text."""
        changes = self.tracker.drain()
        if not self.tracker.policies:
            self._claims = None
            self.tables = {family: nft_tracer.Table() for family in FAMILIES}
            return ""
        if self._claims is None:
            return self.rebuild()
        self._claims.take(changes)
        return self._apply({f: diff.change(ledger.delta(), LAYOUTS[f]) for f, ledger in self._claims.ledgers.items()})

    def rebuild(self) -> str:
        """Write everything, in place where there is something."""
        self._claims = Claims(FAMILIES)
        self._claims.take(Changes(self.tracker.policies, self.tracker.facts, self.tracker.held))
        steps = {}
        for family, ledger in self._claims.ledgers.items():
            present = {*self.tables[family].chains, *self.tables[family].elements}
            steps[family] = diff.rebuild(tuple(ledger.items()), LAYOUTS[family], present)
        return self._apply(steps)

    def _apply(self, steps: Mapping[Family, Iterable[str]]) -> str:
        assert self._claims is not None
        texts = ""
        for family, parts in steps.items():
            for text in parts:
                self.tables[family] = nft_tracer.apply(self.tables[family], text)
                texts += text
            self._claims.ledgers[family].commit()
        return texts

    def lets(self, source: str, target: str, port: int, protocol: str = "TCP") -> bool:
        """Whether a first packet that passes this node may go on."""
        family = Family.IPV6 if ":" in target else Family.IPV4
        packet = Packet(source, target, port, protocol.lower())
        return nft_tracer.trace(self.tables[family], packet) == UNTOUCHED

    def state(self) -> Any:
        """Everything, without order where order says nothing."""
        return {f: (t.chains, t.elements, sorted(t.hooks)) for f, t in self.tables.items()}


class Cluster:
    """Two nodes that hear the same."""

    def __init__(self, *objects: tuple[str, Obj]) -> None:
        self.nodes = {name: Node(name) for name in ("node1", "node2")}
        self.objects: dict[tuple[str, str], Obj] = {}
        for kind, obj in objects:
            self.put(kind, obj)

    def put(self, kind: str, obj: Obj) -> None:
        """Create or replace."""
        key = (kind, f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}")
        old = self.objects.get(key)
        self.objects[key] = obj
        for node in self.nodes.values():
            node.feed(kind, old, obj)

    def remove(self, kind: str, key: str) -> None:
        """Delete, by namespace/name (/name for a namespace)."""
        old = self.objects.pop((kind, key), None)
        for node in self.nodes.values():
            if old is not None:
                node.feed(kind, old, None)

    def sync(self) -> None:
        """Both write."""
        for node in self.nodes.values():
            node.sync()

    def lets(self, source: str, target: str, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection gets through all nodes it passes: its source's and its target's."""
        passed = {self._node_of(source), self._node_of(target)} - {""} or {"node1"}
        return all(self.nodes[name].lets(source, target, port, protocol) for name in passed)

    def _node_of(self, ip: str) -> str:
        for prefix, name in (("10.244.1.", "node1"), ("10.244.2.", "node2")):
            if ip.startswith(prefix) or ip.startswith(prefix.replace("10.244.", "fd00:244:").rstrip(".") + ":"):
                return name
        return ""
