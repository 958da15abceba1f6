"""A proxy without a kernel: API objects in, a mode's texts applied to simulated rules, packets traced through them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from netproxy import views
from netproxy.ground import Ground, grounds
from netproxy.iptables import diff as iptables_diff
from netproxy.iptables.apply import portions as iptables_portions
from netproxy.iptables.plan import plan as iptables_plan
from netproxy.ipvs.apply import IpvsMode
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route
from netproxy.nftables import base as nft_base
from netproxy.nftables import diff as nft_diff
from netproxy.nftables.apply import portions
from netproxy.nftables.plan import plan as nft_plan
from netproxy.topology import Place
from netproxy.tracker import Tracker
from netproxy.userspace.apply import UserspaceMode
from netproxy.userspace.plan import Listener
from netproxy.userspace.ways import Ways
from tests.netproxy import iptables_tracer, nft_tracer
from tests.netproxy.ipvs_kernel import FakeChains, FakeHost, Kernel
from tests.netproxy.packet import LOCAL_ADDRESSES, End, Packet

BASE = Ground(
    Family.IPV4,
    cluster_cidrs=("10.244.0.0/16", "fd00:244::/32"),
    service_cidrs=("10.96.0.0/16", "fd00:96::/112"),
    node_ips=("10.20.0.11", "fd00:20::11"),
)

PORTION = 4
"""chains of a restore text, Services of a new table's portion: few, so that small worlds take several"""


def ground(family: Family) -> Ground:
    """The test host's facts for one family."""
    return grounds(BASE, (family,))[0]


def ipvs_mode(kernel: Kernel, on: Ground) -> IpvsMode:
    """The mode itself, on a kernel in memory."""
    mode = IpvsMode((on,))
    mode._host, mode._chains = FakeHost(kernel), FakeChains(kernel)  # type: ignore[assignment]
    return mode


class IpvsRules:
    """As Rules, for the mode whose state lies elsewhere than in rules."""

    mode = "ipvs"

    def __init__(self, on: Ground) -> None:
        self.kernel = Kernel(on)
        self._mode = ipvs_mode(self.kernel, on)

    def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        """All anew."""
        asyncio.run(self._mode.rebuild(routes))

    def change(self, routes: Mapping[PortKey, Route | None]) -> str:
        """Differences only; returns something if there were any."""
        before = self.kernel.changes
        asyncio.run(self._mode.change(routes))
        return "x" * (self.kernel.changes - before)

    def trace(self, packet: Packet) -> dict[End, float]:
        """Where the packet may end."""
        return self.kernel.trace(packet)

    def state(self) -> Any:
        """Everything but who leaves: that is a matter of time."""
        stays = {
            virtual: (one.schedule, {target for target, real in one.reals.items() if real.weight})
            for virtual, one in self.kernel.services.items()
        }
        return stays, self.kernel.sets, self.kernel.bound


class Rules:
    """One mode's rules of one family; `rebuild` and `change` work as the mode's do, by the same texts."""

    def __init__(self, mode: str, on: Ground) -> None:
        self.mode = mode
        self._ground = on
        self._ledger: Ledger[Any, Any] = Ledger()
        self.nft = nft_tracer.Table()
        self.iptables = iptables_tracer.empty()

    def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        """All anew."""
        self._ledger = Ledger()
        if self.mode == "nftables":
            self._rebuild_nft(routes)
        else:
            present = {table: list(chains) for table, chains in self.iptables.items()}
            mine = [(key, route) for key, route in routes.items() if key.family is self._ground.family]
            written: set[str] = set()
            for text in iptables_portions(self._ledger, mine, self._ground, PORTION, written):
                iptables_tracer.apply(self.iptables, text)
            last = iptables_diff.rebuild(self._ledger.items(), self._ground, present, (), written=written)
            iptables_tracer.apply(self.iptables, last)
        self._ledger.commit()

    def _rebuild_nft(self, routes: Mapping[PortKey, Route]) -> None:
        layout, names = nft_base.layout(self._ground), {*self.nft.chains, *self.nft.elements}
        if names:
            self._claim(routes)
            texts = nft_diff.rebuild(self._ledger.items(), layout, names)
        else:
            mine = [(key, route) for key, route in routes.items() if key.family is self._ground.family]
            parts = portions(self._ledger, mine, self._ground, PORTION)
            filling = [text for part in parts for text in nft_diff.change(part, layout)]
            texts = (nft_diff.bare(layout), *filling, *nft_diff.hooked(layout))
        for text in texts:
            self.nft = nft_tracer.apply(self.nft, text)

    def change(self, routes: Mapping[PortKey, Route | None]) -> str:
        """Differences only; returns the text."""
        self._claim(routes)
        delta = self._ledger.delta()
        if self.mode == "nftables":
            steps = nft_diff.change(delta, nft_base.layout(self._ground))
            for step in steps:
                self.nft = nft_tracer.apply(self.nft, step)
            text = "".join(steps)
        else:
            text = iptables_diff.change(delta)
            iptables_tracer.apply(self.iptables, text)
        self._ledger.commit()
        return text

    def trace(self, packet: Packet) -> dict[End, float]:
        """Where the packet may end."""
        if self.mode == "nftables":
            return nft_tracer.trace(self.nft, packet)
        return iptables_tracer.trace(self.iptables, packet)

    def state(self) -> Any:
        """Everything, without order where order says nothing."""
        if self.mode == "nftables":
            return self.nft.chains, self.nft.elements, sorted(self.nft.hooks)
        ordered = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-POSTROUTING")
        chains = {
            (table, name): rules if name.startswith(ordered) else sorted(rules)
            for table, chains in self.iptables.items()
            for name, rules in chains.items()
        }
        return chains, self.iptables["nat"]["KUBE-SERVICES"][-1]

    def _claim(self, routes: Mapping[PortKey, Route | None]) -> None:
        plan: Any = nft_plan if self.mode == "nftables" else iptables_plan
        for key, route in routes.items():
            if key.family is self._ground.family:
                self._ledger.claim(key, plan(route, self._ground) if route else ())


class UserspaceRules:
    """As Rules, for the relay: what it would listen at, whom it would lead where, and which addresses it would take."""

    def __init__(self, on: Ground) -> None:
        self._mode = _Relays((on,))

    def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        """All anew."""
        asyncio.run(self._mode.rebuild(routes))

    def change(self, routes: Mapping[PortKey, Route | None]) -> str:
        """Differences only; returns something if there were any."""
        before = self.state()
        asyncio.run(self._mode.change(routes))
        return "" if self.state() == before else "x"

    def state(self) -> Any:
        """Everything."""
        return dict(self._mode._relays), set(self._mode._open), set(self._mode.ways.taken)


class _Ways(Ways):
    """Routes of a host in memory."""

    def __init__(self) -> None:
        super().__init__(())
        self.taken: set[str] = set()

    def prepare(self) -> None:
        """Links are for kernels."""

    def held(self) -> frozenset[str]:
        return frozenset(self.taken)

    def take(self, addresses: Collection[str]) -> None:
        self.taken |= set(addresses)

    def give_up(self, addresses: Collection[str]) -> None:
        assert self.taken >= set(addresses), "the kernel has no such route"
        self.taken -= set(addresses)

    def keep_only(self, addresses: Collection[str]) -> None:
        self.taken &= set(addresses)


class _Relays(UserspaceMode):
    """The mode itself, on a host in memory."""

    def __init__(self, on: tuple[Ground, ...]) -> None:
        super().__init__(on)
        self._ways = self.ways = _Ways()

    async def _listen(self, listener: Listener) -> None:
        assert listener not in self._open, "the kernel gives an address and port to one"
        self._open[listener] = None  # type: ignore[assignment]

    def _shut(self, listeners: Collection[Listener]) -> None:
        for listener in list(listeners):
            del self._open[listener]

    def _node_addresses(self) -> frozenset[str]:
        return frozenset(ip for ip in LOCAL_ADDRESSES if ":" not in ip)


def tracker(place: Place = Place("node1", "z1")) -> Tracker:  # noqa: B008
    """A tracker for both families."""
    return Tracker((Family.IPV4, Family.IPV6), place, lambda: None)


def rules_of(mode: str, on: Ground) -> Rules | IpvsRules:
    """The rules of a mode that has some, of one family, with nothing in them yet."""
    return IpvsRules(on) if mode == "ipvs" else Rules(mode, on)


def state_of(mode: str, on: Ground) -> Rules | IpvsRules | UserspaceRules:
    """What a mode keeps for one family, with nothing in it yet."""
    return UserspaceRules(on) if mode == "userspace" else rules_of(mode, on)


def rules_for(
    mode: str, service: dict[str, Any], slices: Iterable[dict[str, Any]], place: Place, base: Ground = BASE
) -> Rules | IpvsRules:
    """The rules one Service leads to, in the family of its cluster IP."""
    track = tracker(place)
    track.service_changed(None, service)
    for endpoint_slice in slices:
        track.slice_changed(None, endpoint_slice)
    ip = service["spec"].get("clusterIP", "")
    family = views.family_of(ip) if ip not in ("", "None") else Family.IPV4
    rules = rules_of(mode, grounds(base, (family,))[0])
    rules.rebuild({k: v for k, v in track.drain().routes.items() if v is not None})
    return rules


def service(spec: dict[str, Any] | None = None, ingress: Iterable[str] = (), name: str = "svc") -> dict[str, Any]:
    """A Service on 10.96.0.100:80."""
    base: dict[str, Any] = {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.100",
        "clusterIPs": ["10.96.0.100"],
        "ports": [{"name": "p", "port": 80, "protocol": "TCP", "targetPort": 8080}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": name},
        "spec": {**base, **(spec or {})},
        "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in ingress]}},
    }


def endpoint(ip: str, node: str = "node2", **conditions: bool) -> dict[str, Any]:
    """A ready endpoint unless told otherwise."""
    state = {"ready": True, "serving": True, "terminating": False, **conditions}
    return {"addresses": [ip], "conditions": state, "nodeName": node}


def endpoint_slice(*endpoints: dict[str, Any], name: str = "svc-1", owner: str = "svc", **more: Any) -> dict[str, Any]:
    """An EndpointSlice of port p, 8080."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "default", "name": name, "labels": {views.SERVICE_NAME_LABEL: owner}},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
        **more,
    }
