"""Service routes to nftables pieces. Pure.

Flat maps: a Service address is one element of `services` (goto the chain for its endpoint COUNT) and one
element of `endpoints` for each endpoint, keyed by (address, protocol, port, index). So a change touches a
few elements and the kernel never re-validates a graph of thousands of chains. A Service that needs more
(session affinity, external policy Local, source ranges) gets chains of its own, as kube-proxy writes them
for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from netproxy import names
from netproxy.ground import Ground, allowed_sources
from netproxy.model import Backend, Family, Route
from netproxy.nftables.layout import address_type, from_pods, ip_word, within


class Key(NamedTuple):
    """Names one piece. `container` is a map or set of ours, or CHAIN or SET; `text` is the element or name."""

    container: str
    text: str


# `Key` by way of the interpreter alone: a Service has four, and its plan is little else.
_key: Callable[[tuple[str, str]], Key] = partial(tuple.__new__, Key)

Value = tuple[str, ...]
"""an element's data (one text, empty for a set's), a chain's rules, or a set's declaration"""
Piece = tuple[Key, Value]

CHAIN = "chain"
SET = "set"
RANDOM_FIELD = "meta priority"
"""What a packet can best do without: forwarding sets it anew from the type of service."""


def plan(route: Route, ground: Ground) -> tuple[Piece, ...]:
    """All pieces one Service port claims."""
    if not route.port.externally_accessible:
        return tuple(_internal(route, ground))
    return (*_internal(route, ground), *_external(route, ground))


def _internal(route: Route, ground: Ground) -> list[Piece]:
    port, backends = route.port, route.internal
    pieces: list[Piece] = [(_key(("cluster-ips", port.cluster_ip)), _PRESENT)]
    if not backends:
        pieces.append((Key("no-endpoint-services", _service(route, port.cluster_ip)), (_refusal(route),)))
    elif port.affinity_seconds:
        chain = names.nft_local(port.key) if port.internal_local else names.nft_service(port.key)
        pieces.append((Key("services", _service(route, port.cluster_ip)), (f"goto {chain}",)))
        pieces += _chain_of_its_own(chain, route, backends, ground)
    else:
        protocol, count = _word(port.key.protocol), len(backends)
        pieces += _flat(port.cluster_ip, protocol, names.nft_spread(protocol, count), route, backends)
        pieces.append(_spread(protocol, count, ground.family, ground.random_by_priority))
    return pieces


def _external(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    protocol = _word(port.key.protocol)
    ips = (*port.external_ips, *port.load_balancer_ips)
    addresses = [_service(route, ip) for ip in ips]
    node_port = f"{protocol} . {port.node_port}" if port.node_port else ""
    if route.refuses_external:
        yield from ((Key("no-endpoint-services", where), (_refusal(route),)) for where in addresses)
        if node_port:
            yield Key("no-endpoint-node-ports", node_port), (_refusal(route),)
    if port.source_ranges and port.load_balancer_ips:
        yield from _firewall(route, ground)
    if not route.cluster:
        return
    if port.external_local or port.affinity_seconds:
        chain = names.nft_external(port.key)
        yield from ((Key("services", where), (f"goto {chain}",)) for where in addresses)
        if node_port:
            yield Key("node-ports", node_port), (f"goto {chain}",)
        yield from _external_chain(chain, route, ground)
        return
    count = len(route.cluster)
    for ip in ips:
        yield from _flat(ip, protocol, names.nft_spread_external(protocol, count), route, route.cluster)
    if addresses:
        yield _spread(protocol, count, ground.family, ground.random_by_priority)
        yield _marking_spread(protocol, count)
    if node_port:
        yield Key("node-ports", node_port), _goto(names.nft_spread_node_port(protocol, count))
        yield from _targets(names.nft_node_port_endpoints(protocol), port.node_port, protocol, route.cluster)
        yield _node_port_spread(protocol, count, ground.family, ground.random_by_priority)


def _service(route: Route, ip: str) -> str:
    return f"{ip} . {_word(route.port.key.protocol)} . {route.port.port}"


def _refusal(route: Route) -> str:
    return "drop" if route.has_endpoints else "goto reject-chain"


_MARK = f"meta mark set meta mark | {names.MASQUERADE_MARK:#x}"


def _flat(ip: str, protocol: str, chain: str, route: Route, backends: Sequence[Backend]) -> list[Piece]:
    port = route.port.port
    return [
        (_key(("services", f"{ip} . {protocol} . {port}")), _goto(chain)),
        *_targets(names.nft_endpoints(protocol), f"{ip} . {port}", protocol, backends),
    ]


def _targets(container: str, where: str | int, protocol: str, backends: Sequence[Backend]) -> list[Piece]:
    pieces: list[Piece] = []
    for index, (ip, port, local) in enumerate(backends):
        pieces.append((_key((container, f"{where} . {index}")), (f"{ip} . {port}",)))
        if local:
            pieces.append(_hairpin(protocol, Backend(ip, port)))
    return pieces


def _hairpin(protocol: str, backend: Backend) -> Piece:
    return Key("hairpin", f"{backend.ip} . {backend.ip} . {protocol} . {backend.port}"), _PRESENT


_PRESENT: Value = ("",)
"""of an element that has no data"""


# What many Services have in common is made once: tens of thousands of equal texts are memory and time.
@lru_cache(64)
def _word(protocol: str) -> str:
    """As nft writes it."""
    return protocol.lower()


@lru_cache(1024)
def _goto(chain: str) -> Value:
    return (f"goto {chain}",)


@lru_cache(1024)
def _spread(protocol: str, count: int, family: Family, by_priority: bool) -> Piece:
    """The chain shared by all Service addresses with `count` endpoints.

    Its second rule catches the packet whose `services` lookup still saw more endpoints than its endpoint
    lookup: each lookup by itself is atomic, the pair is not. Index 0 exists as long as there is any endpoint.
    """
    key, targets = f"{ip_word(family)} daddr . {protocol} dport", names.nft_endpoints(protocol)
    return Key(CHAIN, names.nft_spread(protocol, count)), _one_of(count, key, targets, family, by_priority)


@lru_cache(1024)
def _marking_spread(protocol: str, count: int) -> Piece:
    rules = (_MARK, f"goto {names.nft_spread(protocol, count)}")
    return Key(CHAIN, names.nft_spread_external(protocol, count)), rules


@lru_cache(1024)
def _node_port_spread(protocol: str, count: int, family: Family, by_priority: bool) -> Piece:
    rules = _one_of(count, f"{protocol} dport", names.nft_node_port_endpoints(protocol), family, by_priority)
    return Key(CHAIN, names.nft_spread_node_port(protocol, count)), (_MARK, *rules)


def _one_of(count: int, key: str, targets: str, family: Family, by_priority: bool) -> Value:
    """To one of the first `count` targets under `key`, else to the first."""
    to = f"dnat {ip_word(family)} to {key}"
    rules = []
    for number in sorted({count, 1}, reverse=True):
        random = f"numgen random mod {number}"
        if by_priority:
            rules.append(f"meta priority set {random} {to} . {RANDOM_FIELD} map @{targets}")
        else:
            rules.append(f"{to} . {random} map @{targets}")
    return tuple(rules)


def _chain_of_its_own(chain: str, route: Route, backends: Sequence[Backend], ground: Ground) -> Iterator[Piece]:
    key, word = route.port.key, ip_word(ground.family)
    protocol = key.protocol.lower()
    yield from (_hairpin(protocol, b) for b in backends if b.local)
    if not route.port.affinity_seconds:
        choices = ", ".join(f"{i} : {b.ip} . {b.port}" for i, b in enumerate(backends))
        rule = f"meta l4proto {protocol} dnat {word} to numgen random mod {len(backends)} map {{ {choices} }}"
        yield Key(CHAIN, chain), (rule,)
        return
    rules = []
    for backend in backends:
        bound, target = names.nft_affinity(key, backend), names.nft_endpoint(key, backend)
        rules.append(f"{word} saddr @{bound} goto {target}")
        yield Key(SET, bound), (f"{{ type {address_type(ground.family)}; size 65535; flags dynamic,timeout; }}",)
        to = f"[{backend.ip}]" if ground.family is Family.IPV6 else backend.ip
        remember = f"update @{bound} {{ {word} saddr timeout {route.port.affinity_seconds}s }}"
        yield Key(CHAIN, target), (remember, f"meta l4proto {protocol} dnat {word} to {to}:{backend.port}")
    choices = ", ".join(f"{i} : goto {names.nft_endpoint(key, b)}" for i, b in enumerate(backends))
    rules.append(f"numgen random mod {len(backends)} vmap {{ {choices} }}")
    yield Key(CHAIN, chain), tuple(rules)


def _external_chain(chain: str, route: Route, ground: Ground) -> Iterator[Piece]:
    key = route.port.key
    service, local = names.nft_service(key), names.nft_local(key)
    yield from _chain_of_its_own(service, route, route.cluster, ground)
    if not route.port.external_local:
        yield Key(CHAIN, chain), (_MARK, f"goto {service}")
        return
    rules = [f"{pods} goto {service}" for pods in from_pods(ground)]
    rules += [f"fib saddr type local {_MARK}", f"fib saddr type local goto {service}"]
    if route.local:
        yield from _chain_of_its_own(local, route, route.local, ground)
        rules.append(f"goto {local}")
    yield Key(CHAIN, chain), tuple(rules)


def _firewall(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    chain = names.nft_firewall(port.key)
    for ip in port.load_balancer_ips:
        yield Key("firewall-ips", _service(route, ip)), (f"goto {chain}",)
    allowed = allowed_sources(port.source_ranges, port.load_balancer_ips, ground)
    yield Key(CHAIN, chain), (*(f"{match} return" for match in within(ground.family, "saddr", allowed)), "drop")
