"""Host ports to iptables-restore text, in the chains of the reference plugin. Pure.

    PREROUTING, OUTPUT ── to an address of the node ──> CNI-HOSTPORT-DNAT ── by port ──> CNI-DN-hash, one a container:
                                                        pods beside it, the node's loopback: CNI-HOSTPORT-SETMARK
                                                        everybody: DNAT to the pod
    POSTROUTING ──> CNI-HOSTPORT-MASQ: masquerade what is marked

The names are a contract: several plugins share the chains of all, and whichever is asked to take a container's away
finds it. So no chain of all is ever emptied, and what is there already stays as it is. Programs print a rule in their
own way, which differs between versions; rules are compared by what they do (`_meaning`), or healing would never come to
rest.

Source: https://www.cni.dev/plugins/current/meta/portmap/
"""

from __future__ import annotations

import hashlib
import itertools
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from apimachinery.kit.iptables import Snapshot
from cni.portmap.plan import Forward, Holder

TABLE = "nat"
GUARD_TABLE = "raw"
ALL, MARK, MASQUERADE = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
_PREFIX, _NAME_LENGTH = "CNI-DN-", 28
# The most that one rule of the match multiport takes.
_PORTS_A_RULE = 15
_COMMENT_LENGTH = 255
_ENTRANCES = ("PREROUTING", "OUTPUT")
# route_localnet, which the way from the node's loopback needs, would also let pods in to it. It stays when the last
# host port goes, and so does this.
_GUARD = '-A PREROUTING -d 127.0.0.0/8 ! -i lo -m comment --comment "CNI portfwd guards the loopback" -j DROP'
_TOLD = {"-p", "-s", "-d", "--dport", "--to-destination", "-j"}


def chain_of(network: str, container_id: str) -> str:
    """The container's own chain, of both families."""
    digest = hashlib.sha512(f"{network}{container_id}".encode()).hexdigest()
    return f"{_PREFIX}{digest}"[:_NAME_LENGTH]


def looked_at(chains: Iterable[str]) -> tuple[str, ...]:
    """The chains whose rules `changes` has to see, for these containers'."""
    return (*_ENTRANCES, "POSTROUTING", ALL, MARK, MASQUERADE, *chains)


def changes(version: int, saved: Snapshot, wanted: Mapping[str, Sequence[Holder]]) -> str:
    """What table `nat` lacks; "" when nothing. `wanted`: containers' chains, and who shall be in each; nobody: it
    goes."""
    lines: list[str] = []
    serving = {name: holders for name, holders in wanted.items() if any(_own(version, h) for h in holders)}
    if serving:
        lines += _common(saved, [h for holders in serving.values() for h in holders])
    for name in sorted(wanted):
        lines += _container(version, saved, name, serving.get(name, ()))
    return "\n".join([f"*{TABLE}", *lines, "COMMIT", ""]) if lines else ""


def guard(saved: Snapshot) -> str:
    """What table `raw` lacks; "" when nothing. IPv4 only: ::1 is never routed."""
    guarded = any("! -i lo" in rule and "-d 127.0.0.0/8" in rule and rule.endswith("-j DROP") for rule in saved.rules)
    return "" if guarded else f"*{GUARD_TABLE}\n{_GUARD}\nCOMMIT\n"


def _common(saved: Snapshot, holders: Iterable[Holder]) -> Iterator[str]:
    """The chains of all, where one is missing."""
    marks = sorted({h.special.mark_bit for h in holders if h.snat and not h.special.mark_chain})
    for chain in (ALL, *((MARK, MASQUERADE) if marks else ())):
        if chain not in saved.chains:
            yield f"-N {chain}"
    for entrance in _ENTRANCES:
        if not any(_leads(rule, entrance, ALL) for rule in saved.rules):
            yield f"-A {entrance} -m addrtype --dst-type LOCAL -j {ALL}"
    for bit in marks:
        value = f"{1 << bit:#x}/{1 << bit:#x}"
        if not any(rule.startswith(f"-A {MARK} ") and f" {value}" in rule for rule in saved.rules):
            yield f'-A {MARK} -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark {value}'
        if not any(rule.startswith(f"-A {MASQUERADE} ") and f" {value}" in rule for rule in saved.rules):
            yield f"-A {MASQUERADE} -m mark --mark {value} -j MASQUERADE"
    if marks and not any(_leads(rule, "POSTROUTING", MASQUERADE) for rule in saved.rules):
        # First of all: other plugins' rules say of a pod's network that nothing into it is masqueraded.
        yield f'-I POSTROUTING 1 -m comment --comment "CNI portfwd requiring masquerade" -j {MASQUERADE}'


def _container(version: int, saved: Snapshot, name: str, holders: Sequence[Holder]) -> list[str]:
    present = [rule for rule in saved.rules if rule.startswith(f"-A {name} ")]
    entries = sorted(rule for rule in saved.rules if _leads(rule, ALL, name))
    if not holders:
        gone = [f"-F {name}", f"-X {name}"] if name in saved.chains else []
        return [*(f"-D{entry.removeprefix('-A')}" for entry in entries), *gone]
    rules = [f"-A {name} {rule}" for holder in holders for rule in _rules(version, holder)]
    into = [f"-A {ALL} {rule} -j {name}" for holder in holders for rule in _entries(version, holder)]
    whole = sorted(map(_meaning, present)) == sorted({_meaning(rule) for rule in rules})
    if whole and sorted(map(_ports, entries)) == sorted(map(_ports, into)):
        return []
    return [f":{name} - [0:0]", *rules, *(f"-D{entry.removeprefix('-A')}" for entry in entries), *into]


def _own(version: int, holder: Holder) -> list[Forward]:
    return [f for f in holder.forwards if f.version == version]


def _rules(version: int, holder: Holder) -> Iterator[str]:
    """Marks before the translation: it ends a packet's way through the table."""
    special, near = holder.special, [s for s in holder.sources if (":" in s) == (version == 6)]
    if special.masquerade_all:
        near = ["::/0" if version == 6 else "0.0.0.0/0"]
    elif version == 4:
        near = [*near, "127.0.0.0/8"]
    for forward in _own(version, holder):
        to = f"-d {forward.host_ip} " if forward.host_ip else ""
        base = f"{to}-p {forward.protocol} -m {forward.protocol} --dport {forward.host_port}"
        for source in near if holder.snat else ():
            yield f"-s {source} {base} -j {special.mark_chain or MARK}"
        pod = f"[{forward.pod_ip}]" if version == 6 else forward.pod_ip
        yield f"{base} -j DNAT --to-destination {pod}:{forward.pod_port}"


def _entries(version: int, holder: Holder) -> Iterator[str]:
    comment = f'dnat name: "{holder.network}" id: "{holder.container_id}"'[:_COMMENT_LENGTH]
    # The kernel never routes ::1 out of lo, whatever its source is translated to.
    local = " ! -d ::1/128" if version == 6 else ""
    conditions = local + "".join(f" {_quoted(word)}" for word in holder.special.conditions_of(version))
    by_protocol: dict[str, list[int]] = {}
    for forward in _own(version, holder):
        by_protocol.setdefault(forward.protocol, []).append(forward.host_port)
    for protocol, every in sorted(by_protocol.items()):
        numbers = sorted(set(every))
        for first in range(0, len(numbers), _PORTS_A_RULE):
            listed = ",".join(map(str, numbers[first : first + _PORTS_A_RULE]))
            yield f"-p {protocol}{conditions} -m comment --comment {_quoted(comment)} -m multiport --dports {listed}"


def _quoted(word: str) -> str:
    """As iptables-restore reads it."""
    if word and all(c.isalnum() or c in "-_./,:!=+" for c in word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _leads(rule: str, chain: str, target: str) -> bool:
    return rule.startswith(f"-A {chain} ") and (rule.endswith(f" -j {target}") or f" -j {target} " in rule)


def _meaning(rule: str) -> tuple[tuple[str, str], ...]:
    """What tells a container's rules apart, however they are written."""
    words = shlex.split(rule)
    pairs = ((key, value.removesuffix("/32").removesuffix("/128")) for key, value in itertools.pairwise(words))
    # iptables leaves out what is no condition.
    return tuple(sorted(p for p in pairs if p[0] in _TOLD and p not in (("-s", "0.0.0.0/0"), ("-s", "::/0"))))


def _ports(rule: str) -> tuple[str, ...]:
    """Protocol and ports of an entry."""
    words = shlex.split(rule)
    return tuple(value for key, value in itertools.pairwise(words) if key in ("-p", "--dports"))
