"""What no Service changes: the sets and the iptables rules that ask them. Pure.

    mangle  PREROUTING, OUTPUT   source ranges of load balancers; Services without an endpoint here: drop
    nat     PREROUTING, OUTPUT   who must get another source: mark
    filter  INPUT                health check node ports; other ports of Services' addresses: reject
            (IPVS takes the packet, translates it and sends it on by OUTPUT)
    nat     POSTROUTING          the mark, and pods that reached themselves: masquerade
    filter  FORWARD              answers

Refusals come in `mangle`, since IPVS takes this host's own packets before `filter` sees them. The sets have
kube-proxy's names; those of chains are our own, so that iptables mode and this one can stand side by side while one
takes over from the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netproxy import names
from netproxy.ground import Ground
from netproxy.iptables.base import Jump, Layout, from_pods
from netproxy.model import Family

LOOP_BACK, CLUSTER_IP, BOUND = "LOOP-BACK", "CLUSTER-IP", "IPVS-IPS"
EXTERNAL_IP, EXTERNAL_IP_LOCAL = "EXTERNAL-IP", "EXTERNAL-IP-LOCAL"
LOAD_BALANCER, LOAD_BALANCER_LOCAL = "LOAD-BALANCER", "LOAD-BALANCER-LOCAL"
LOAD_BALANCER_FIREWALL, LOAD_BALANCER_SOURCE = "LOAD-BALANCER-FW", "LOAD-BALANCER-SOURCE-CIDR"
NODE_PORT = {"TCP": "NODE-PORT-TCP", "UDP": "NODE-PORT-UDP", "SCTP": "NODE-PORT-SCTP-HASH"}
NODE_PORT_LOCAL = {"TCP": "NODE-PORT-LOCAL-TCP", "UDP": "NODE-PORT-LOCAL-UDP", "SCTP": "NODE-PORT-LOCAL-SCTP-HASH"}
HEALTH_CHECK = "HEALTH-CHECK-NODE-PORT"
DROP, DROP_OUTSIDE = "NO-LOCAL-ENDPOINT", "NO-LOCAL-ENDPOINT-EXT"
"""Services that have endpoints, but none this node may use: for everybody, for what comes from outside"""

_TYPES = {
    "hash:ip,port,ip": (LOOP_BACK,),
    "hash:ip,port": (
        *(CLUSTER_IP, EXTERNAL_IP, EXTERNAL_IP_LOCAL, LOAD_BALANCER, LOAD_BALANCER_LOCAL, LOAD_BALANCER_FIREWALL),
        *(NODE_PORT["SCTP"], NODE_PORT_LOCAL["SCTP"], DROP, DROP_OUTSIDE),
    ),
    "hash:ip,port,net": (LOAD_BALANCER_SOURCE,),
    "bitmap:port": (
        *(NODE_PORT["TCP"], NODE_PORT["UDP"], NODE_PORT_LOCAL["TCP"], NODE_PORT_LOCAL["UDP"]),
        HEALTH_CHECK,
    ),
    "hash:ip": (BOUND,),
}
SETS = {name: kind for kind, named in _TYPES.items() for name in named}


def set_name(name: str, family: Family) -> str:
    """As the kernel knows it, kube-proxy's way: cut at 31 characters."""
    return (f"KUBE-{name}" if family is Family.IPV4 else f"KUBE-6-{name}")[:31]


def creation(family: Family) -> str:
    """The text for `ipset restore` that makes every set of a family, as kube-proxy makes them: others that have the
    same name would be refused."""
    word = "inet" if family is Family.IPV4 else "inet6"
    lines = []
    for name, kind in SETS.items():
        shape = "range 0-65535" if kind == "bitmap:port" else f"family {word} hashsize 1024 maxelem 65536"
        lines.append(f"create {set_name(name, family)} {kind} {shape}\n")
    return "".join(lines)


_FIREWALL, _RANGES, _OUTSIDE = "WHERRY-IPVS-FIREWALL", "WHERRY-IPVS-RANGES", "WHERRY-IPVS-OUTSIDE"
_SERVICES, _NODE_PORTS, _CLUSTER = "WHERRY-IPVS-SERVICES", "WHERRY-IPVS-NODE-PORTS", "WHERRY-IPVS-CLUSTER-IP"
_MARK, _POSTROUTING = "WHERRY-IPVS-MARK", "WHERRY-IPVS-POSTROUTING"
_INPUT, _FORWARD = "WHERRY-IPVS-INPUT", "WHERRY-IPVS-FORWARD"
_OWNER = "WHERRY-IPVS"
_FROM_HERE, _NOT_FROM_HERE = "-m addrtype --src-type LOCAL", "-m addrtype ! --src-type LOCAL"
_NEW = "-m conntrack --ctstate NEW"

JUMPS = (
    Jump("mangle", "PREROUTING", f"{_NEW} -j {_FIREWALL}"),
    Jump("mangle", "OUTPUT", f"{_NEW} -j {_FIREWALL}"),
    Jump("nat", "PREROUTING", f"-j {_SERVICES}"),
    Jump("nat", "OUTPUT", f"-j {_SERVICES}"),
    Jump("nat", "POSTROUTING", f"-j {_POSTROUTING}"),
    Jump("filter", "INPUT", f"-j {_INPUT}"),
    Jump("filter", "FORWARD", f"-j {_FORWARD}"),
)


def chains(ground: Ground) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """table → chain → its rules."""
    mark = names.MASQUERADE_MARK
    return {
        "mangle": {
            _OWNER: (),
            _RANGES: (f"{_in(ground, LOAD_BALANCER_SOURCE, 'dst,dst,src')} -j RETURN", "-j DROP"),
            _OUTSIDE: (
                *(f"{pods} -j RETURN" for pods in from_pods(ground)),
                f"{_FROM_HERE} -j RETURN",
                "-j DROP",
            ),
            _FIREWALL: (
                f"{_in(ground, LOAD_BALANCER_FIREWALL)} -j {_RANGES}",
                f"{_in(ground, DROP)} -j DROP",
                f"{_in(ground, DROP_OUTSIDE)} -j {_OUTSIDE}",
            ),
        },
        "nat": {
            _OWNER: (),
            _MARK: (f"-j MARK --set-xmark {mark:#x}/{mark:#x}",),
            _NODE_PORTS: tuple(_node_ports(ground)),
            _CLUSTER: tuple(_cluster_ips(ground)),
            _SERVICES: tuple(_services(ground)),
            _POSTROUTING: (
                f"{_in(ground, LOOP_BACK, 'dst,dst,src')} -j MASQUERADE",
                f"-m mark ! --mark {mark:#x}/{mark:#x} -j RETURN",
                f"-j MARK --set-xmark {mark:#x}/0x0",
                "-j MASQUERADE --random-fully",
            ),
        },
        "filter": {_OWNER: (), _INPUT: tuple(_input(ground)), _FORWARD: _forward()},
    }


LAYOUT = Layout(("mangle", "nat", "filter"), JUMPS, chains, _OWNER)


def _in(ground: Ground, name: str, how: str = "dst,dst") -> str:
    return f"-m set --match-set {set_name(name, ground.family)} {how}"


def _services(ground: Ground) -> Iterator[str]:
    yield f"-s {'127.0.0.0/8' if ground.family is Family.IPV4 else '::1/128'} -j RETURN"
    # This node's own packet carries the Service's address as its source, which nobody could answer.
    for local in (LOAD_BALANCER_LOCAL, EXTERNAL_IP_LOCAL):
        yield f"{_in(ground, local)} {_NOT_FROM_HERE} -j RETURN"
    yield from (f"{_in(ground, name)} -j {_MARK}" for name in (LOAD_BALANCER, EXTERNAL_IP, EXTERNAL_IP_LOCAL))
    yield f"{_in(ground, CLUSTER_IP)} -j {_CLUSTER}"
    yield f"-m addrtype --dst-type LOCAL -j {_NODE_PORTS}"


def _cluster_ips(ground: Ground) -> Iterator[str]:
    if not ground.masquerade_all:
        yield from (f"{pods} -j RETURN" for pods in from_pods(ground))
        if not from_pods(ground):
            yield f"{_NOT_FROM_HERE} -j RETURN"
    yield f"-j {_MARK}"


def _node_ports(ground: Ground) -> Iterator[str]:
    for protocol, name in NODE_PORT.items():
        how = "dst,dst" if protocol == "SCTP" else "dst"
        match = f"-p {protocol.lower()} "
        yield f"{match}{_in(ground, NODE_PORT_LOCAL[protocol], how)} {_NOT_FROM_HERE} -j RETURN"
        yield f"{match}{_in(ground, name, how)} -j {_MARK}"


def _input(ground: Ground) -> Iterator[str]:
    yield f"-p tcp {_in(ground, HEALTH_CHECK, 'dst')} -j ACCEPT"
    for name in (LOAD_BALANCER, CLUSTER_IP, EXTERNAL_IP, EXTERNAL_IP_LOCAL):
        yield f"{_in(ground, name)} -j RETURN"
    kind = "icmp-port-unreachable" if ground.family is Family.IPV4 else "icmp6-port-unreachable"
    yield f"{_NEW} {_in(ground, BOUND, 'dst')} -j REJECT --reject-with {kind}"


def _forward() -> tuple[str, ...]:
    mark = names.MASQUERADE_MARK
    return (
        f"-m mark --mark {mark:#x}/{mark:#x} -j ACCEPT",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    )
