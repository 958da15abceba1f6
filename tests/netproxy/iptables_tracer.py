"""Follows a packet through iptables text: what our planner writes, or what iptables-save prints.

Understands the matches and targets proxies use and raises on anything else.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from netproxy.iptables.base import JUMPS, Jump
from tests.netproxy.packet import End, Packet, came_by, collect, matches, same

Tables = dict[str, dict[str, list[str]]]
"""table → chain → rules; under @NAME the members of a set that rules may ask"""
_BUILT_IN = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


def empty(jumps: Sequence[Jump] = JUMPS) -> Tables:
    """The kernel's own chains, with the jumps to ours in them."""
    tables: Tables = {table: {chain: [] for chain in chains} for table, chains in _BUILT_IN.items()}
    for jump in jumps:
        tables[jump.table][jump.chain].insert(0, jump.rule)
        tables[jump.table].setdefault(jump.target, [])
    return tables


def apply(tables: Tables, text: str) -> Tables:
    """Run a restore text; refuses what iptables-restore --noflush refuses."""
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:], {})
        elif line.startswith(":"):
            chain = line[1:].split(" ")[0]
            if chain not in _BUILT_IN["nat"]:
                table[chain] = []
            else:
                table.setdefault(chain, [])
        elif line == "COMMIT":
            _check(table)
        else:
            _command(table, *line.split(" ", 2))
    return tables


def _command(table: dict[str, list[str]], action: str, chain: str, rule: str = "") -> None:
    if action == "-A":
        table[chain].append(rule)
    elif action == "-I":
        table[chain].insert(0, rule)
    elif action == "-D":
        table[chain].remove(rule)
    elif action == "-X":
        assert not table.pop(chain), f"chain {chain} still has rules"
    else:
        raise AssertionError(f"unknown action {action}")


_TARGETS = {"DROP", "REJECT", "ACCEPT", "RETURN", "MARK", "DNAT", "MASQUERADE"}


def _check(table: dict[str, list[str]]) -> None:
    for rules in table.values():
        for rule in rules:
            target = rule.partition("-j ")[2].split(" ")[0]
            assert not target or target in _TARGETS or target in table, f"{rule}: no chain {target}"


def trace(tables: Tables, packet: Packet) -> dict[End, float]:
    """Where the packet may end, with probabilities."""
    return collect(_journey(tables, packet))


def _journey(tables: Tables, packet: Packet) -> Iterator[tuple[End, float]]:
    states = []
    for state, verdict in chain(tables["nat"], "OUTPUT" if packet.from_here else "PREROUTING", packet):
        assert verdict in ("", "ACCEPT", "DNAT"), verdict
        states.append(state)
    for state in states:
        hook = "OUTPUT" if packet.from_here else ("INPUT" if state.to_here else "FORWARD")
        for after, verdict in chain(tables["filter"], hook, state):
            if verdict in ("DROP", "REJECT"):
                yield End(verdict.lower()), after.weight
            elif not after.redirected:
                yield End("untouched"), after.weight
            else:
                for last, final in chain(tables["nat"], "POSTROUTING", after):
                    yield End("sent", _target(last), final == "MASQUERADE"), last.weight


def _target(packet: Packet) -> str:
    return f"[{packet.dst}]:{packet.dport}" if ":" in packet.dst else f"{packet.dst}:{packet.dport}"


def chain(table: dict[str, list[str]], name: str, packet: Packet) -> list[tuple[Packet, str]]:
    """The packet as it leaves a chain, in every way it may, each with the verdict; "" for none."""
    live, ended = [packet], []
    for rule in table[name]:
        following = []
        for state in live:
            for after, verdict in _rule(table, rule, state):
                if verdict == "RETURN":
                    ended.append((after, ""))
                elif verdict:
                    ended.append((after, verdict))
                else:
                    following.append(after)
        live = following
    return [*ended, *((state, "") for state in live)]


@functools.lru_cache(100_000)
def _words(rule: str) -> tuple[str, ...]:
    return tuple(shlex.split(rule))


def _rule(table: dict[str, list[str]], rule: str, packet: Packet) -> list[tuple[Packet, str]]:
    words = _words(rule)
    chance, negate, index = 1.0, False, 0
    options: dict[str, str] = {}
    while index < len(words):
        word = words[index]
        value = words[index + 1] if index + 1 < len(words) else ""
        if word == "!":
            negate, index = True, index + 1
            continue
        if word == "--match-set":
            if _in_set(packet, table.get(f"@{value}", []), words[index + 2]) == negate:
                return [(packet, "")]
            index, negate = index + 3, False
            continue
        if word in ("--set", "--rcheck", "--reap", "--rsource", "--random-fully"):
            options[word] = ""
            index += 1
            continue
        index += 2
        if word == "--probability":
            chance = float(value)
        elif word in _MATCHES:
            if _MATCHES[word](packet, value) == negate:
                return [(packet, "")]
        elif word in _OPTIONS:
            options[word] = value
        else:
            raise AssertionError(f"cannot judge {word} in {rule!r}")
        negate = False
    if "--rcheck" in options and options["--name"] not in packet.bound:
        return [(packet, "")]
    missed = [(packet.share(1 - chance), "")] if chance < 1 else []
    return [*missed, *_target_of(table, options, packet.share(chance))]


def _target_of(table: dict[str, list[str]], options: dict[str, str], packet: Packet) -> list[tuple[Packet, str]]:
    target = options.get("-j", "")
    if target == "MARK":
        value, _, mask = options["--set-xmark"].partition("/")
        kernel = (packet.mark & ~int(mask, 0)) ^ int(value, 0)
        return [(replace(packet, mark=kernel), "")]
    if target == "DNAT":
        ip, _, port = options["--to-destination"].rpartition(":")
        return [(packet.to(same(ip), int(port)), "DNAT")]
    if target in ("", *_TARGETS):
        return [(packet, target)]
    return chain(table, target, packet)


def _in_set(packet: Packet, members: Sequence[str], how: str) -> bool:
    """A member is an address, a port, or address,protocol:port and perhaps one more address or network."""
    ends = {"dst": packet.dst, "src": packet.src}
    directions = how.split(",")
    for member in members:
        parts = member.split(",")
        if parts[0].isdigit():
            if packet.dport == int(parts[0]):
                return True
            continue
        port = len(parts) < 2 or parts[1] == f"{packet.protocol}:{packet.dport}"
        addresses = zip((parts[0], *parts[2:]), (directions[0], *directions[2:]), strict=True)
        if port and all(matches(ends[direction], part) for part, direction in addresses):
            return True
    return False


_OPTIONS = {"-m", "--comment", "-j", "--set-xmark", "--to-destination", "--reject-with", "--name", "--seconds"}
_OPTIONS |= {"--mode", "--mask", "--nfacct-name"}


def _state(packet: Packet, value: str) -> bool:
    states = value.split(",")
    return "NEW" in states or ("DNAT" in states and packet.redirected)


def _mark(packet: Packet, value: str) -> bool:
    wanted, _, mask = value.partition("/")
    return packet.mark & int(mask, 0) == int(wanted, 0)


_MATCHES = {
    "-s": lambda p, v: matches(p.src, v),
    "-i": came_by,
    "-d": lambda p, v: matches(p.dst, v),
    "-p": lambda p, v: p.protocol == v,
    "--dport": lambda p, v: p.dport == int(v),
    "--dst-type": lambda p, v: p.to_here,
    "--src-type": lambda p, v: p.from_here,
    "--ctstate": _state,
    "--mark": _mark,
}
