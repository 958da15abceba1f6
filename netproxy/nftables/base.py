"""The part of the table that no Service changes: base chains, hooks, empty maps and sets. Pure."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from apimachinery.kit.netlink import elements
from netproxy import names
from netproxy.ground import Ground
from netproxy.model import Family
from netproxy.nftables.layout import Layout, Shape, address_type, from_others, ip_word, within
from netproxy.nftables.plan import RANDOM_FIELD

PROTOCOLS = ("tcp", "udp", "sctp")

# Nearly every packet of a node is one of these; what is not tracked, as packets of a tunnel between nodes, is of no
# Service: none has been translated.
_UNDER_WAY = "ct state established,untracked accept"
_HOOKS = (
    # Source ranges name the packet's own destination, so they come before the DNAT of the same hook.
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110, ("ct state new jump firewall-check",)),
    ("filter-output-pre-dnat", "filter", "output", -110, ("ct state new jump firewall-check",)),
    (
        "filter-input",
        "filter",
        "input",
        0,
        (_UNDER_WAY, "ct state new jump node-port-endpoints-check", "ct state new jump service-endpoints-check"),
    ),
    (
        "filter-forward",
        "filter",
        "forward",
        0,
        (
            _UNDER_WAY,
            # A packet the connection tracker cannot place would leave un-translated, and whoever gets it would reset
            # the connection (kubernetes#74839).
            "ct state invalid drop",
            "ct state new jump service-endpoints-check",
            "ct state new jump cluster-ips-check",
        ),
    ),
    (
        "filter-output",
        "filter",
        "output",
        0,
        (_UNDER_WAY, "ct state new jump service-endpoints-check", "ct state new jump cluster-ips-check"),
    ),
    ("nat-prerouting", "nat", "prerouting", -100, ("jump service-dispatch",)),
    ("nat-output", "nat", "output", -100, ("jump service-dispatch",)),
    ("nat-postrouting", "nat", "postrouting", 100, ("jump masquerading",)),
)


REFUSING = frozenset({"filter-input", "filter-forward", "filter-output"})
"""Hooks that refuse packets to Services which no rule has translated. They come last when the table is made or mended:
a packet on its way from hook to hook must not meet them when translation was not there yet as it passed."""


@cache
def layout(ground: Ground) -> Layout:
    """Our table on this host; asked for at each change."""
    return Layout(
        ground.family,
        ground.nft_table,
        containers(ground),
        chains(ground),
        hooks(ground),
        REFUSING,
        ("affinity-",),
        _shapes(ground.family),
    )


_ICMP = {Family.IPV4: "icmp", Family.IPV6: "icmpv6"}


def containers(ground: Ground) -> tuple[str, ...]:
    """Our sets and maps, as `map NAME { … }` or `set NAME { … }`."""
    ip = address_type(ground.family)
    service = f"type {ip} . inet_proto . inet_service"
    return (
        f"map services {{ {service} : verdict; }}",
        "map node-ports { type inet_proto . inet_service : verdict; }",
        *(text for protocol in PROTOCOLS for text in _endpoint_maps(ground, protocol)),
        f"map no-endpoint-services {{ {service} : verdict; }}",
        "map no-endpoint-node-ports { type inet_proto . inet_service : verdict; }",
        f"map firewall-ips {{ {service} : verdict; }}",
        f"set cluster-ips {{ type {ip}; }}",
        f"set hairpin {{ type {ip} . {ip} . inet_proto . inet_service; }}",
    )


def _shapes(family: Family) -> dict[str, Shape]:
    """How the elements of these are laid out."""
    address = elements.ADDRESS[family]
    service, node_port = (address, elements.PROTOCOL, elements.port), (elements.PROTOCOL, elements.port)
    found: dict[str, Shape] = {name: (service, ()) for name in ("services", "no-endpoint-services", "firewall-ips")}
    found.update({name: (node_port, ()) for name in ("node-ports", "no-endpoint-node-ports")})
    found.update({"cluster-ips": ((address,), ()), "hairpin": ((address, *service), ())})
    for protocol in PROTOCOLS:
        target, index = (address, elements.port), (elements.port, elements.number)
        found[names.nft_endpoints(protocol)] = (address, *index), target
        found[names.nft_node_port_endpoints(protocol)] = index, target
    return found


def _endpoint_maps(ground: Ground, protocol: str) -> tuple[str, str]:
    # Only `typeof` can declare a key that ends in a bare index: there is no named 32-bit integer type. And
    # it ties a port to its protocol (a bare `th dport` is refused once libnftables reads the declaration
    # back), so each protocol has its own maps.
    word = ip_word(ground.family)
    number = RANDOM_FIELD if ground.random_by_priority else "numgen random mod 2"
    index, target = f"{protocol} dport . {number}", f"{word} daddr . {protocol} dport"
    return (
        f"map {names.nft_endpoints(protocol)} {{ typeof {word} daddr . {index} : {target}; }}",
        f"map {names.nft_node_port_endpoints(protocol)} {{ typeof {index} : {target}; }}",
    )


def probe(ground: Ground) -> str:
    """A transaction that changes nothing; libnftables that takes no random number into a key refuses it."""
    table = f"{ip_word(ground.family)} {ground.nft_table}-probe"
    declared, _ = _endpoint_maps(replace(ground, random_by_priority=False), "tcp")
    return f"add table {table}\nadd map {table} probe {declared[declared.index('{') :]}\ndelete table {table}\n"


def chains(ground: Ground) -> dict[str, tuple[str, ...]]:
    """The fixed chains and their rules, in an order in which every one only goes to earlier ones."""
    word = ip_word(ground.family)
    service = f"{word} daddr . meta l4proto . th dport vmap"
    node_ports = [f"{match} meta l4proto . th dport vmap" for match in node_port_matches(ground)]
    mark = names.MASQUERADE_MARK
    dispatch = [f"{service} @services", *(f"{node_port} @node-ports" for node_port in node_ports)]
    outside = _from_outside(ground)
    if outside is not None:
        dispatch.insert(0, f"{word} daddr @cluster-ips {outside}meta mark set meta mark | {mark:#x}")
    unused = [f"{match} drop" for match in within(ground.family, "daddr", ground.service_cidrs)]
    return {
        "reject-chain": ("reject",),
        "firewall-check": (f"{service} @firewall-ips",),
        "node-port-endpoints-check": tuple(f"{node_port} @no-endpoint-node-ports" for node_port in node_ports),
        "service-endpoints-check": (f"{service} @no-endpoint-services",),
        "cluster-ips-check": (*_own_vips(ground, "daddr", "return"), f"{word} daddr @cluster-ips reject", *unused),
        "service-dispatch": tuple(dispatch),
        "masquerading": (
            f"meta mark & {mark:#x} != 0 meta mark set meta mark ^ {mark:#x} masquerade fully-random",
            f"ct status dnat {word} saddr . {word} daddr . meta l4proto . th dport @hairpin masquerade fully-random",
        ),
    }


def hooks(ground: Ground) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Base chains: (name, hook declaration, rules)."""
    # While the process behind an address of this host restarts, who asks shall wait and ask again, not be told that
    # nobody is there.
    silence = _own_vips(ground, "saddr", f"{_ICMP[ground.family]} type destination-unreachable drop")
    return tuple(
        (
            name,
            f"type {kind} hook {hook} priority {priority}; policy accept;",
            (*rules, *silence) if name == "filter-output" else rules,
        )
        for name, kind, hook, priority, rules in _HOOKS
    )


def _own_vips(ground: Ground, field: str, what: str) -> tuple[str, ...]:
    addresses = ", ".join(ground.local_vips)
    return (f"{ip_word(ground.family)} {field} {{ {addresses} }} {what}",) if addresses else ()


def node_port_matches(ground: Ground) -> tuple[str, ...]:
    """Which destination addresses node ports answer on, each match some of them: the node's own, or the configured
    part of all local ones.

    Never a loopback address: the kernel does not route it to another host.
    """
    local, elsewhere = "fib daddr type local", _not_loopback(ground)
    if ground.node_port_cidrs:
        networks = within(ground.family, "daddr", ground.node_port_cidrs)
        return tuple(f"{local} {network} {elsewhere}" for network in networks)
    if ground.node_ips:
        return (f"{ip_word(ground.family)} daddr {{ {', '.join(ground.node_ips)} }}",)
    return (f"{local} {elsewhere}",)


def _not_loopback(ground: Ground) -> str:
    return "ip daddr != 127.0.0.0/8" if ground.family is Family.IPV4 else "ip6 daddr != ::1"


def _from_outside(ground: Ground) -> str | None:
    if ground.masquerade_all:
        return ""
    others = from_others(ground)
    return f"{others} " if others else None
