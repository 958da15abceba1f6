"""What a lab is: a value that says every name, address and range, from which all else follows.

Node `k` has the k-th address after `.10` of the node range; the host, its gateway, the first.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apimachinery.kit import settings
from controlplane.store import names as store_names
from lab import names
from netproxy import modes

PROXY_MODES = modes.choices()
DNS = ("builtin", "external")
POD_NETWORKS = ("host-gw", "vxlan", "wireguard", "none")
STORES = store_names()
# What one API server has that was asked for nothing else.
DEFAULT_STORE = "sqlite"
MOST_CONTROL_PLANES = 5
# Ranges for the n-th lab on a machine; a range that is already in use here moves on to the next n.
TRIES = 12

_MOST_BALANCERS = 1 << 16

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SpecError(Exception):
    """A lab cannot be made so; the message names the option and the fix."""


@dataclass(frozen=True)
class Node:
    """One node: its name, its number, from which its address comes, and whether it is switched off."""

    name: str
    index: int
    stopped: bool = False
    proxy_mode: str = ""
    """how its proxy writes rules; empty: as the lab's"""


@dataclass(frozen=True)
class Spec:
    """One lab, complete."""

    name: str
    nodes: tuple[Node, ...]
    proxy_mode: str
    pod_cidr: str
    """one range, or an IPv4 and an IPv6 one separated by a comma; so the next two"""
    service_cidr: str
    node_cidr: str
    api_port: int = 6443
    dns: str = DNS[0]
    """who answers at `dns_ip`: every node itself, or whatever the user deploys (CoreDNS)"""
    network_policy: bool = True
    """whether nodes enforce NetworkPolicies, or leave them to what the user deploys (Calico)"""
    cloud: bool = True
    """whether a cloud controller manager runs: Services of type LoadBalancer then get addresses"""
    pod_network: str = POD_NETWORKS[0]
    """how pods of different nodes reach each other: routes, vxlan, WireGuard, or by what the user deploys (none)"""
    scheduler_config: str = ""
    """a KubeSchedulerConfiguration file, read at each start of the lab; empty: upstream's default profile"""

    store: str = DEFAULT_STORE
    """what the API servers keep everything in"""
    control_planes: int = 1
    """how many API servers, schedulers and controllers run, and members of etcd"""

    @property
    def gateway(self) -> str:
        """The host's address on the lab's bridge; the API server listens here, or all of them do."""
        return self.gateways[0]

    @property
    def gateways(self) -> tuple[str, ...]:
        """The host's addresses on the lab's bridge, one of each family that nodes have."""
        return tuple(str(network[1]) for network in ranges(self.node_cidr))

    def control_plane(self, number: int) -> str:
        """The own address of a control plane, counted from 1: the gateway where there is one alone."""
        if self.control_planes == 1:
            return self.gateway
        return str(ranges(self.node_cidr)[0][1 + number])

    @property
    def control_plane_addresses(self) -> tuple[str, ...]:
        """Of all of them."""
        return tuple(self.control_plane(number) for number in range(1, self.control_planes + 1))

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.gateway}:{self.api_port}"

    @property
    def service_ip(self) -> str:
        """The cluster IP of the Service `kubernetes`."""
        return str(ranges(self.service_cidr)[0][1])

    @property
    def dns_ip(self) -> str:
        """The cluster IP of the Service `kube-dns`, which pods have in their resolv.conf."""
        return str(ranges(self.service_cidr)[0][10])

    @property
    def balancer_ranges(self) -> tuple[tuple[str, str], ...]:
        """The first and the last address for load balancers, of each family that nodes have: what no node can have."""
        first = 11 + names.MAX_NODES
        found = []
        for network in ranges(self.node_cidr):
            last = min(network.num_addresses - 2, first + _MOST_BALANCERS)
            found.append((str(network[first]), str(network[last])))
        return tuple(found)

    @property
    def zone(self) -> str:
        """The zone of all its nodes; the lab is the region."""
        return f"{self.name}-1"

    def address(self, node: Node) -> str:
        """The node's address, by which others reach its daemons."""
        return self.addresses_of(node)[0]

    def addresses_of(self, node: Node) -> tuple[str, ...]:
        """That, and its IPv6 address where the lab has a range for it."""
        return tuple(str(network[10 + node.index]) for network in ranges(self.node_cidr))

    def node(self, name: str) -> Node:
        """The node of that name. SpecError when the lab has none."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes) or "none"
        raise SpecError(f"lab {self.name} has no node {name!r}; its nodes: {known}")

    def with_node(self, name: str | None = None) -> tuple[Spec, Node]:
        """The lab with one node more, under the lowest free number (or the number in `name`)."""
        if len(self.nodes) >= names.MAX_NODES:
            raise SpecError(f"lab {self.name} has {names.MAX_NODES} nodes, which is the most it can have")
        taken = {node.index for node in self.nodes}
        if name is None:
            index = next(i for i in range(1, names.MAX_NODES + 1) if i not in taken)
        else:
            match = re.fullmatch(r"node([1-9]\d?)", name)
            if match is None or int(match[1]) > names.MAX_NODES:
                raise SpecError(f"{name!r} is no node name here; use node1 to node{names.MAX_NODES}")
            index = int(match[1])
            if index in taken:
                raise SpecError(f"lab {self.name} already has {name}; `wherry status` lists the nodes")
        node = Node(f"node{index}", index)
        nodes = tuple(sorted((*self.nodes, node), key=lambda each: each.index))
        return dataclasses.replace(self, nodes=nodes), node

    def switched(self, name: str, stopped: bool) -> Spec:
        """The lab with that node off, or on."""
        changed = dataclasses.replace(self.node(name), stopped=stopped)
        return dataclasses.replace(self, nodes=tuple(changed if n.name == name else n for n in self.nodes))

    def mode_of(self, node: Node) -> str:
        """How the node's proxy writes rules."""
        return node.proxy_mode or self.proxy_mode

    def with_proxy_mode(self, mode: str, name: str = "") -> Spec:
        """The lab with one node in that mode, or, without a name, with all of them and those to come."""
        if not name:
            nodes = tuple(dataclasses.replace(node, proxy_mode="") for node in self.nodes)
            return dataclasses.replace(self, proxy_mode=mode, nodes=nodes)
        own = "" if mode == self.proxy_mode else mode
        changed = dataclasses.replace(self.node(name), proxy_mode=own)
        return dataclasses.replace(self, nodes=tuple(changed if n.name == name else n for n in self.nodes))

    def without(self, name: str) -> Spec:
        """The lab with that node gone."""
        gone = self.node(name)
        return dataclasses.replace(self, nodes=tuple(node for node in self.nodes if node != gone))


def ranges(text: str) -> tuple[Network, ...]:
    """What a lab's text says of a range of each family. ValueError for anything but IPv4, or IPv4 and then IPv6."""
    found = tuple(map(ipaddress.ip_network, text.split(",")))
    if tuple(network.version for network in found) not in ((4,), (4, 6)):
        raise ValueError(f"{text!r} is neither an IPv4 range nor an IPv4 and then an IPv6 one")
    return found


def to_dict(spec: Spec) -> dict[str, object]:
    """The form in which a lab is remembered."""
    return dataclasses.asdict(spec)


def from_dict(value: object) -> Spec:
    """Read it back. SpecError when it is not one, whatever it is."""
    try:
        spec = settings.of(Spec, value)
        for text in (spec.pod_cidr, spec.service_cidr, spec.node_cidr):
            ranges(text)
    except (settings.SettingsError, ValueError) as error:
        raise SpecError(str(error)) from error
    if any(names.NODES.index(node.name) + 1 != node.index for node in spec.nodes if node.name in names.NODES):
        raise SpecError("a node's name and number do not belong together")
    wanted = {spec.proxy_mode, *(node.proxy_mode for node in spec.nodes if node.proxy_mode)}
    if not wanted <= set(PROXY_MODES) or not {node.name for node in spec.nodes} <= set(names.NODES):
        raise SpecError("it names a proxy mode or a node that no lab has")
    check_control_planes(spec.control_planes, spec.store)
    if spec.dns not in DNS:
        raise SpecError(f"dns is {spec.dns!r}; it can be {' or '.join(DNS)}")
    if spec.pod_network not in POD_NETWORKS:
        raise SpecError(f"pod_network is {spec.pod_network!r}; it can be {', '.join(POD_NETWORKS)}")
    return spec


def check_name(name: str) -> str:
    """The lab name, if it can be one."""
    if problem := names.problem(name):
        raise SpecError(f"--name {name!r} will not do: {problem}")
    return name


def check_options(node_count: int | None, proxy_mode: str | None) -> None:
    """What no lab can have is refused whether one is there or not. None is what was not asked for."""
    if node_count is not None and not 1 <= node_count <= names.MAX_NODES:
        raise SpecError(f"--nodes {node_count} is out of range; use 1 to {names.MAX_NODES}")
    if proxy_mode is not None and proxy_mode not in PROXY_MODES:
        raise SpecError(f"--proxy-mode {proxy_mode!r} is unknown; use one of {', '.join(PROXY_MODES)}")


def check_control_planes(count: int, store: str) -> None:
    """SpecError for what cannot be."""
    if store not in STORES:
        raise SpecError(f"--store {store!r} is unknown; use {' or '.join(STORES)}")
    if not 1 <= count <= MOST_CONTROL_PLANES:
        raise SpecError(f"--control-planes {count} is out of range; use 1 to {MOST_CONTROL_PLANES}")
    if count > 1 and store != "etcd":
        raise SpecError(f"--store {store} is for one API server alone; several need --store etcd")


def make(
    name: str,
    node_count: int,
    proxy_mode: str,
    *,
    pod_cidr: str | None,
    service_cidr: str | None,
    node_cidr: str | None,
    in_use: Sequence[Network],
) -> Spec:
    """A new lab beside what the machine already uses (`in_use`: its routes and other labs' ranges).

    A range that was asked for and is in use is an error; ranges left open are chosen so that they fit.
    """
    check_name(name)
    check_options(node_count, proxy_mode)
    asked = {
        option: parse_ranges(option, text)
        for option, text in (("--pod-cidr", pod_cidr), ("--service-cidr", service_cidr), ("--node-cidr", node_cidr))
        if text is not None
    }
    taken: list[Network] = []
    for option, networks in asked.items():
        for network in networks:
            _refuse_overlap(option, network, in_use, taken)
            taken.append(network)
    chosen = dict(asked)
    for option, pattern in (
        ("--pod-cidr", "10.{}.0.0/16:244"),
        ("--service-cidr", "10.{}.0.0/16:96"),
        ("--node-cidr", "10.89.{}.0/24:0"),
    ):
        if option not in chosen:
            chosen[option] = (_free(option, pattern, [*in_use, *taken]),)
            taken += chosen[option]
    # Routes to IPv6 pods need nodes that have such addresses.
    if len(chosen["--node-cidr"]) == 1 and any(len(networks) == 2 for networks in asked.values()):
        chosen["--node-cidr"] += (_free("--node-cidr", "fd89:{}::/64:0", [*in_use, *taken]),)
    return Spec(
        name=name,
        nodes=tuple(Node(f"node{i}", i) for i in range(1, node_count + 1)),
        proxy_mode=proxy_mode,
        pod_cidr=_joined(chosen["--pod-cidr"]),
        service_cidr=_joined(chosen["--service-cidr"]),
        node_cidr=_joined(chosen["--node-cidr"]),
    )


# Prefix lengths of the smallest ranges, of IPv4 and IPv6: sixteen nodes' pods, some hundred Services, all nodes.
_LONGEST = {"--pod-cidr": (20, 60), "--service-cidr": (24, 120), "--node-cidr": (27, 120)}
_EXAMPLES = ("10.244.0.0/16", "fd44::/56")


def parse_ranges(option: str, text: str) -> tuple[Network, ...]:
    """An IPv4 range, or that and an IPv6 one separated by a comma, each large enough for the option."""
    found = [_parse(option, part.strip(), example) for part, example in zip(text.split(","), _EXAMPLES, strict=False)]
    if [network.version for network in found] not in ([4], [4, 6]) or text.count(",") > 1:
        raise SpecError(f"{option} {text}: write an IPv4 range, or that and an IPv6 one: {','.join(_EXAMPLES)}")
    for network, longest in zip(found, _LONGEST[option], strict=False):
        if network.prefixlen > longest:
            raise SpecError(f"{option} {network} is too small; use a /{longest} or larger")
    return tuple(found)


def parse_range(option: str, text: str, longest: int) -> Network:
    """An IPv4 range of at most `longest` prefix bits (so that it is large enough)."""
    network = _parse(option, text, _EXAMPLES[0])
    if network.version != 4:
        raise SpecError(f"{option} {text}: only IPv4 ranges are supported here yet")
    if network.prefixlen > longest:
        raise SpecError(f"{option} {text} is too small; use a /{longest} or larger")
    return network


def _parse(option: str, text: str, example: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise SpecError(f"{option} {text}: {error}; write it as {example}") from error
    if network.is_loopback or network.is_multicast or network.is_link_local:
        raise SpecError(f"{option} {text} is no range for hosts; use a private one such as {example}")
    return network


def _joined(networks: Iterable[Network]) -> str:
    return ",".join(map(str, networks))


def _refuse_overlap(option: str, network: Network, in_use: Iterable[Network], asked: Iterable[Network]) -> None:
    for other in in_use:
        if network.overlaps(other):
            raise SpecError(
                f"{option} {network} overlaps {other}, which this machine already has a route to; "
                "choose another range, or leave the option out"
            )
    for other in asked:
        if network.overlaps(other):
            raise SpecError(f"{option} {network} overlaps {other}, another range of the same lab")


def _free(option: str, pattern: str, taken: Sequence[Network]) -> Network:
    text, _, start = pattern.rpartition(":")
    for step in range(TRIES):
        network = ipaddress.ip_network(text.format(int(start) + step))
        if not any(network.overlaps(other) for other in taken):
            return network
    raise SpecError(f"no free range found for {option}; give one that this machine does not use")
