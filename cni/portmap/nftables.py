"""Host ports to nftables text. Pure.

    to an address of the node, port 8080 ── map tcp4 ──> DNAT to the pod; the source stays
    from the node's loopback, or from a pod beside it   ──> also masqueraded, for the answer to come back this way

A flat map for each protocol and family: one more host port is one more element. Those bound to an address go first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cni.portmap.plan import PROTOCOLS, Holder

TABLE = "wherry-hostports"
# The reference plugin's bit; the packet has it from DNAT to postrouting.
_MARK = "0x2000"
_IP = {4: "ip", 6: "ip6"}
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
# After Services (dstnat) and before masquerading of what leaves the cluster (srcnat + 10).
_DSTNAT, _SRCNAT = "-90", "105"
# route_localnet, which the way from the node's loopback needs, would also let pods in to it. It stays when the last
# host port goes, and so does this.
_MARTIANS = (
    "chain martians {",
    "type filter hook prerouting priority raw;",
    'iif != "lo" ip daddr 127.0.0.0/8 drop',
    "}",
)


def added(holder: Holder) -> str:
    """A transaction for one more holder; the table must be there, and know the networks of its pod."""
    return _filled([holder])


def removed(holder: Holder) -> str:
    """A transaction for one holder less. Its networks stay: others share them."""
    lines = [f"delete element inet {TABLE} {name} {{ {key} }}" for name, key, _ in _elements(holder)]
    lines += [f"delete element inet {TABLE} {name} {{ {value} }}" for name, value in _members(holder)]
    return "\n".join(lines) + "\n"


def present(holder: Holder) -> str:
    """A command that fails unless all of a holder's ports are in the kernel."""
    return "\n".join(f"get element inet {TABLE} {name} {{ {key} }}" for name, key, _ in _elements(holder)) + "\n"


def ruleset(holders: Iterable[Holder]) -> str:
    """The whole table as one transaction, whether it exists or not; for no holder what guards the loopback alone."""
    everybody = list(holders)
    head = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
    contents = [*_MARTIANS]
    if everybody:
        contents += [line for version in _IP for line in _containers(version)]
        networks = sorted({source for holder in everybody if holder.snat for source in holder.sources})
        for version in _IP:
            near = (network for network in networks if (":" in network) == (version == 6))
            contents += [f"chain forward{version} {{", *_lookups(version, near), "}"]
        contents += _hooks()
    return head + "\n".join([f"table inet {TABLE} {{", *contents, "}"]) + "\n" + _filled(everybody)


def _filled(holders: Iterable[Holder]) -> str:
    """What holders put into maps and sets."""
    lines = []
    for holder in holders:
        lines += [f"create element inet {TABLE} {name} {{ {key} : {value} }}" for name, key, value in _elements(holder)]
        lines += [f"add element inet {TABLE} {name} {{ {value} }}" for name, value in _members(holder)]
    return "".join(f"{line}\n" for line in lines)


def _containers(version: int) -> Iterator[str]:
    kind = _TYPE[version]
    for protocol in PROTOCOLS:
        yield f"map {protocol}{version} {{ type inet_service : {kind} . inet_service; }}"
        yield f"map {protocol}{version}at {{ type {kind} . inet_service : {kind} . inet_service; }}"
    yield f"set snat{version} {{ type {kind}; }}"


def _lookups(version: int, near: Iterable[str]) -> Iterator[str]:
    """`near`: pods' networks. A rule for each: a set of intervals is empty for a moment when its table is made anew."""
    ip = _IP[version]
    for network in near:
        yield f"{ip} saddr {network} meta mark set meta mark or {_MARK}"
    if version == 4:
        yield f"ip saddr 127.0.0.0/8 meta mark set meta mark or {_MARK}"
    else:
        # The kernel never routes ::1 out of lo, whatever its source is translated to.
        yield "ip6 daddr ::1 return"
    for protocol in PROTOCOLS:
        port = f"{protocol} dport"
        yield f"meta l4proto {protocol} dnat {ip} to {ip} daddr . {port} map @{protocol}{version}at"
        yield f"meta l4proto {protocol} dnat {ip} to {port} map @{protocol}{version}"


def _hooks() -> Iterator[str]:
    for hook in ("prerouting", "output"):
        yield f"chain {hook} {{ type nat hook {hook} priority {_DSTNAT};"
        yield from (f"meta nfproto ipv{v} fib daddr type local jump forward{v}" for v in _IP)
        yield "}"
    yield f"chain postrouting {{ type nat hook postrouting priority {_SRCNAT};"
    for version, ip in _IP.items():
        yield f"meta mark and {_MARK} != 0 ct status dnat {ip} daddr @snat{version} masquerade"
    yield "}"


def _elements(holder: Holder) -> Iterator[tuple[str, str, str]]:
    """(map, key, value)."""
    for f in holder.forwards:
        name = f"{f.protocol}{f.version}{'at' if f.host_ip else ''}"
        key = f"{f.host_ip} . {f.host_port}" if f.host_ip else str(f.host_port)
        yield name, key, f"{f.pod_ip} . {f.pod_port}"


def _members(holder: Holder) -> Iterator[tuple[str, str]]:
    """(set, element)."""
    if holder.snat:
        yield from ((f"snat{6 if ':' in ip else 4}", ip) for ip in sorted({f.pod_ip for f in holder.forwards}))
