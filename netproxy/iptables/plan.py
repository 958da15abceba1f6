"""Service routes to iptables pieces, in kube-proxy's chains. Pure.

A piece is either a chain of one Service port with all its rules, or one rule of a chain all Services share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netproxy import names
from netproxy.ground import Ground, allowed_sources
from netproxy.iptables.base import from_pods, node_port_destinations
from netproxy.model import Backend, Family, Route


class Key(NamedTuple):
    """Names one piece: a chain (`rule` empty), or a rule of a shared chain, named by what it matches."""

    table: str
    chain: str
    rule: str = ""


Value = Sequence[str]
"""a chain's rules, or the one rule, without the leading -A CHAIN"""
Piece = tuple[Key, Value]


def plan(route: Route, ground: Ground) -> tuple[Piece, ...]:
    """All pieces one Service port claims."""
    if not route.port.externally_accessible:
        return tuple([*_internal(route, ground), *_spreads(route, ground)])
    return tuple([*_internal(route, ground), *_external(route, ground), *_spreads(route, ground)])


def _internal(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    match = _destination(route, port.cluster_ip, ground)
    if route.internal:
        chain = _policy_chain(route, port.internal_local)
        rule = f"{match} {_comment(route, 'cluster IP')} -j {chain}"
        yield Key("nat", "KUBE-SERVICES", match), (rule,)
    else:
        yield Key("filter", "KUBE-SERVICES", match), (_refusal(route, match),)


def _external(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    protocol = port.key.protocol.lower()
    chain = names.external_chain(port.key)
    addresses = [(ip, "external IP") for ip in port.external_ips]
    addresses += [(ip, "loadbalancer IP") for ip in port.load_balancer_ips]
    local_port = f"-p {protocol} -m {protocol} --dport {port.node_port}"
    if route.cluster:
        for ip, what in addresses:
            match = _destination(route, ip, ground)
            fenced = what == "loadbalancer IP" and port.source_ranges
            target = names.firewall_chain(port.key) if fenced else chain
            yield Key("nat", "KUBE-SERVICES", match), (f"{match} {_comment(route, what)} -j {target}",)
        if port.node_port:
            yield Key("nat", "KUBE-NODEPORTS", local_port), (f"{local_port} {_comment(route)} -j {chain}",)
        yield Key("nat", chain), tuple(_external_rules(route, ground))
    if route.refuses_external:
        for ip, _ in addresses:
            match = _destination(route, ip, ground)
            yield Key("filter", "KUBE-EXTERNAL-SERVICES", match), (_refusal(route, match),)
        if port.node_port:
            # Other addresses of the node may be somebody else's at this port.
            for where in node_port_destinations(ground):
                match = f"{where}-m addrtype --dst-type LOCAL {local_port}"
                yield Key("filter", "KUBE-EXTERNAL-SERVICES", match), (_refusal(route, match),)
    if port.source_ranges and port.load_balancer_ips:
        yield from _firewall(route, ground)
    if port.health_check_node_port:
        match = f"-p tcp -m tcp --dport {port.health_check_node_port}"
        rule = f"{match} {_comment(route, 'health check node port')} -j ACCEPT"
        yield Key("filter", "KUBE-NODEPORTS", match), (rule,)


def _external_rules(route: Route, ground: Ground) -> Iterator[str]:
    port = route.port
    cluster = names.cluster_chain(port.key)
    if not port.external_local:
        comment = _free_comment(f"masquerade traffic for {port.key.title} external destinations")
        yield f"{comment} -j KUBE-MARK-MASQ"
        yield f"-j {cluster}"
        return
    for pods in from_pods(ground):
        comment = _free_comment(f"pod traffic for {port.key.title} external destinations")
        yield f"{pods} {comment} -j {cluster}"
    own = "-m addrtype --src-type LOCAL"
    comment = f"LOCAL traffic for {port.key.title} external destinations"
    yield f"{_free_comment('masquerade ' + comment)} {own} -j KUBE-MARK-MASQ"
    yield f"{_free_comment('route ' + comment)} {own} -j {cluster}"
    if route.local:
        yield f"-j {names.local_chain(port.key)}"


def _firewall(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    chain = names.firewall_chain(port.key)
    comment = _comment(route, f"traffic not accepted by {chain}")
    for ip in port.load_balancer_ips:
        match = _destination(route, ip, ground)
        yield Key("filter", "KUBE-PROXY-FIREWALL", match), (f"{match} {comment} -j DROP",)
    if route.cluster:
        target = names.external_chain(port.key)
        allowed = allowed_sources(port.source_ranges, port.load_balancer_ips, ground)
        comment = _comment(route, "loadbalancer IP")
        yield Key("nat", chain), tuple(f"-s {cidr} {comment} -j {target}" for cidr in allowed)


def _spreads(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    external = port.externally_accessible
    used: set[Backend] = set()
    if route.cluster and (not port.internal_local or external):
        yield _spread(names.cluster_chain(port.key), route, route.cluster, ground, own=not port.internal_local)
        used.update(route.cluster)
    if route.local and (port.internal_local or (port.external_local and external)):
        yield _spread(names.local_chain(port.key), route, route.local, ground, own=port.internal_local)
        used.update(route.local)
    yield from (_endpoint(route, backend) for backend in sorted(used))


def _spread(chain: str, route: Route, backends: Sequence[Backend], ground: Ground, own: bool) -> Piece:
    """`own`: the cluster IP's traffic comes through this chain, which then marks what comes from outside."""
    port = route.port
    rules = [*_cluster_ip_masquerade(route, ground)] if own else []
    if port.affinity_seconds:
        for backend in backends:
            target = names.endpoint_chain(port.key, backend)
            recent = f"-m recent --name {target} --rcheck --seconds {port.affinity_seconds} --reap"
            rules.append(f"{_arrow(route, backend)} {recent} -j {target}")
    for index, backend in enumerate(backends):
        left = len(backends) - index
        chance = f" -m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        rules.append(f"{_arrow(route, backend)}{chance} -j {names.endpoint_chain(port.key, backend)}")
    return Key("nat", chain), tuple(rules)


def _cluster_ip_masquerade(route: Route, ground: Ground) -> Iterator[str]:
    match = f"{_destination(route, route.port.cluster_ip, ground)} {_comment(route, 'cluster IP')}"
    if ground.masquerade_all:
        yield f"{match} -j KUBE-MARK-MASQ"
    elif len(pods := from_pods(ground)) == 1:
        yield f"! {pods[0]} {match} -j KUBE-MARK-MASQ"
    elif pods:
        # One rule cannot negate two sources, so mark them all and take the mark back from the cluster's own.
        yield f"{match} -j KUBE-MARK-MASQ"
        mark = names.MASQUERADE_MARK
        yield from (f"{one} {match} -j MARK --set-xmark 0x0/{mark:#x}" for one in pods)


def _endpoint(route: Route, backend: Backend) -> Piece:
    key = route.port.key
    chain = names.endpoint_chain(key, backend)
    protocol = key.protocol.lower()
    prefix = 32 if key.family is Family.IPV4 else 128
    remember = f"-m recent --name {chain} --set " if route.port.affinity_seconds else ""
    return Key("nat", chain), (
        f"-s {backend.ip}/{prefix} {_comment(route)} -j KUBE-MARK-MASQ",
        f"-p {protocol} {_comment(route)} {remember}-m {protocol} -j DNAT --to-destination {names.address(backend)}",
    )


def _policy_chain(route: Route, local: bool) -> str:
    return names.local_chain(route.port.key) if local else names.cluster_chain(route.port.key)


def _refusal(route: Route, match: str) -> str:
    if route.has_endpoints:
        return f"{match} {_comment(route, 'has no local endpoints')} -j DROP"
    kind = "icmp-port-unreachable" if route.port.key.family is Family.IPV4 else "icmp6-port-unreachable"
    return f"{match} {_comment(route, 'has no endpoints')} -j REJECT --reject-with {kind}"


def _destination(route: Route, ip: str, ground: Ground) -> str:
    prefix = 32 if ground.family is Family.IPV4 else 128
    protocol = route.port.key.protocol.lower()
    return f"-d {ip}/{prefix} -p {protocol} -m {protocol} --dport {route.port.port}"


def _arrow(route: Route, backend: Backend) -> str:
    return _free_comment(f"{route.port.key.title} -> {names.address(backend)}")


def _comment(route: Route, what: str = "") -> str:
    return _free_comment(f"{route.port.key.title} {what}".rstrip())


def _free_comment(text: str) -> str:
    # The comment match takes at most 255 characters.
    return f'-m comment --comment "{text[:255]}"'
