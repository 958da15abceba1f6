"""Follows a packet through nftables text: what our planner writes, or what `nft list table` prints.

Understands the statements proxies use and raises on anything else, so that a rule it cannot judge fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tests.netproxy.packet import End, Packet, came_by, collect, matches, same


@dataclass
class Table:
    """Chains by name, hooks as (hook, priority, chain), elements of sets and maps (a set's have no data)."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    hooks: list[tuple[str, int, str]] = field(default_factory=list)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


# Prefixes or ranges in braces.
_INTERVALS = re.compile(r"(?<!vmap )\{[^}]*(?:[0-9a-f:]/\d|\d-\d)[^}]*\}")


def apply(table: Table, text: str) -> Table:
    """Run a transaction of ours on a table; refuses what the kernel refuses."""
    for line in text.splitlines():
        verb, kind, _, _, rest = (*line.split(" ", 4), "")[:5]
        name, _, body = rest.partition(" ")
        if kind == "table":
            if verb == "delete":
                table = Table()
            continue
        _apply(table, verb, kind, name, body)
    _check_references(table)
    return table


def _apply(table: Table, verb: str, kind: str, name: str, body: str) -> None:
    if (verb, kind) == ("add", "chain"):
        assert name not in table.chains, f"chain {name} exists"
        table.chains[name] = []
        _add_hook(table, name, body)
    elif (verb, kind) in (("add", "set"), ("add", "map")):
        assert name not in table.elements, f"{kind} {name} exists"
        table.elements[name] = {}
        table.kinds[name] = kind
    elif (verb, kind) == ("add", "rule"):
        assert not _INTERVALS.search(body), f"{body}: packets find its set empty until the transaction's end"
        table.chains[name].append(body)
    elif (verb, kind) == ("flush", "chain"):
        table.chains[name].clear()
    elif (verb, kind) in (("flush", "set"), ("flush", "map")):
        assert kind == table.kinds[name], f"{name} is no {kind}"
        table.elements[name].clear()
    elif (verb, kind) == ("delete", "chain"):
        assert not table.chains.pop(name), f"chain {name} still has rules"
    elif (verb, kind) == ("delete", "set"):
        del table.elements[name]
    elif (verb, kind) == ("add", "element"):
        for key, data in _elements(body):
            assert table.elements[name].get(key, data) == data, f"{name}: {key} exists with other data"
            table.elements[name][key] = data
    elif (verb, kind) == ("delete", "element"):
        for key, _ in _elements(body):
            del table.elements[name][key]
    else:
        raise AssertionError(f"unknown command {verb} {kind}")


def _check_references(table: Table) -> None:
    """What a rule or an element goes to, looks up or updates must exist."""
    texts = [rule for rules in table.chains.values() for rule in rules]
    texts += [data for elements in table.elements.values() for data in elements.values()]
    for text in texts:
        for target in re.findall(r"(?:goto|jump) (\S+?)(?:[,\s}]|$)", text):
            assert target in table.chains, f"{text}: no chain {target}"
        for name in re.findall(r"@(\S+)", text):
            assert name in table.elements, f"{text}: no set or map {name}"


def parse_listing(lines: list[str]) -> Table:
    """What `nft list table` prints (for the reference recordings)."""
    table = Table()
    text = re.sub(r",\n\s+", ", ", "\n".join(lines))
    kind = name = ""
    for line in (raw.strip() for raw in text.splitlines()):
        opened = re.fullmatch(r"(set|map|chain) (\S+) \{", line)
        if opened:
            kind, name = opened.groups()
            if kind == "chain":
                table.chains[name] = []
            else:
                table.elements[name] = {}
        elif kind == "chain" and line.startswith("type "):
            _add_hook(table, name, line)
        elif kind == "chain" and line not in ("", "}") and not line.startswith("comment "):
            table.chains[name].append(line)
        elif line.startswith("elements = "):
            table.elements[name].update(_elements(line.removeprefix("elements = ")))
    return table


_PRIORITIES = {"dstnat": -100, "filter": 0, "srcnat": 100}


def _add_hook(table: Table, name: str, body: str) -> None:
    found = re.search(r"hook (\w+) priority ([\w-]+)(?: ([-+]) (\d+))?", body)
    if found:
        word, sign, offset = found.group(2), found.group(3), int(found.group(4) or 0)
        base = _PRIORITIES.get(word)
        priority = int(word) if base is None else base + (-offset if sign == "-" else offset)
        table.hooks.append((found.group(1), priority, name))


def _elements(body: str) -> Iterator[tuple[str, str]]:
    inner = body.strip().removeprefix("{").removesuffix("}")
    inner = re.sub(r'comment "[^"]*" ?', "", inner)
    for part in inner.split(","):
        if part.strip():
            key, _, data = part.strip().partition(" : ")
            yield _normal(key), data.strip()


def _normal(key: str) -> str:
    return " . ".join(word.strip() for word in key.split(" . "))


def trace(table: Table, packet: Packet) -> dict[End, float]:
    """Where the packet may end, with probabilities."""
    return collect(_journey(table, packet))


def _journey(table: Table, packet: Packet) -> Iterator[tuple[End, float]]:
    first = "output" if packet.from_here else "prerouting"
    states = [packet]
    for stage in (first, "second", "postrouting"):
        following = []
        for state in states:
            hook = stage
            if stage == "second":
                if first == "output":
                    following.append(state)
                    continue
                hook = "input" if state.to_here else "forward"
            for after, verdict in _hook(table, hook, state):
                if verdict in ("drop", "reject"):
                    yield End(verdict), after.weight
                elif verdict == "masquerade":
                    following.append(replace(after, mark=-1))
                else:
                    following.append(after)
        states = following
    for state in states:
        if state.redirected:
            yield End("sent", _target(state), state.mark == -1), state.weight
        else:
            yield End("untouched"), state.weight


def _target(packet: Packet) -> str:
    return f"[{packet.dst}]:{packet.dport}" if ":" in packet.dst else f"{packet.dst}:{packet.dport}"


Result = tuple[Packet, str]


def _hook(table: Table, hook: str, packet: Packet) -> Iterator[Result]:
    states: list[Result] = [(packet, "")]
    for _, _, name in sorted((h for h in table.hooks if h[0] == hook), key=lambda h: h[1]):
        following: list[Result] = []
        for state, verdict in states:
            if verdict:
                following.append((state, verdict))
            else:
                following += [(s, "" if v in ("accept", "done") else v) for s, v in _chain(table, name, state)]
        states = following
    return iter(states)


def _chain(table: Table, name: str, packet: Packet) -> list[Result]:
    """Each branch's packet and verdict; empty verdict: fell off the end."""
    live = [packet]
    ended: list[Result] = []
    for rule in table.chains[name]:
        following: list[Result] = []
        for state in live:
            for after, verdict in _rule(table, rule, state):
                (ended if verdict else following).append((after, verdict))
        live = [state for state, _ in following]
    return [*((s, v if v != "return" else "") for s, v in ended), *((s, "") for s in live)]


def _rule(table: Table, rule: str, packet: Packet) -> list[Result]:
    text = re.sub(r'\s*comment "[^"]*"', "", rule).strip()
    states, ended = [(packet, text)], []
    while states:
        state, rest = states.pop()
        if not rest:
            ended.append((state, ""))
            continue
        for pattern, step in _STEPS:
            found = pattern.match(rest)
            if found:
                after = rest[found.end() :].strip()
                for new, outcome in step(table, state, found):
                    if outcome == "":
                        states.append((new, after))
                    else:
                        ended.append((new, "" if outcome == "no" else outcome))
                break
        else:
            raise AssertionError(f"cannot judge: {rest!r} in {rule!r}")
    return ended


Step = Callable[[Table, Packet, "re.Match[str]"], list[Result]]


def _when(condition: bool, packet: Packet) -> list[Result]:
    return [(packet, "" if condition else "no")]


def _address(table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    value = packet.dst if found.group(1) == "daddr" else packet.src
    operand = found.group(3)
    if operand.startswith("@affinity"):
        inside = operand[1:] in packet.bound
    elif operand.startswith("@"):
        inside = any(matches(value, element) for element in table.elements[operand[1:]])
    else:
        inside = any(matches(value, part.strip()) for part in operand.strip("{} ").split(","))
    return _when(inside != bool(found.group(2)), packet)


def _port_set(_table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    ranges = (part.strip().partition("-") for part in found.group(2).strip("{} ").split(","))
    inside = any(int(first) <= packet.dport <= int(last or first) for first, _, last in ranges)
    return _when(packet.protocol == found.group(1) and inside, packet)


def _member(table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    return _when(any(key in table.elements[found.group(2)] for key, _ in _keys(found.group(1), packet)), packet)


def _field(text: str, packet: Packet) -> list[tuple[str, float]] | None:
    """The values a key's field may have; None when the packet has none (another protocol)."""
    random = re.fullmatch(r"numgen random mod (\d+)", text)
    if random:
        count = int(random.group(1))
        return [(str(i), 1 / count) for i in range(count)]
    if text == "meta priority":
        return [(str(packet.priority), 1.0)]
    protocol = re.fullmatch(r"(tcp|udp|sctp) dport", text)
    if protocol:
        return [(str(packet.dport), 1.0)] if packet.protocol == protocol.group(1) else None
    simple = {
        "ip daddr": packet.dst,
        "ip6 daddr": packet.dst,
        "ip saddr": packet.src,
        "ip6 saddr": packet.src,
        "meta l4proto": packet.protocol,
        "th dport": str(packet.dport),
    }
    return [(simple[text], 1.0)]


def _keys(text: str, packet: Packet) -> list[tuple[str, float]]:
    keys = [("", 1.0)]
    for part in text.split(" . "):
        values = _field(part.strip(), packet)
        if values is None:
            return []
        keys = [(f"{k} . {v}" if k else v, w * share) for k, w in keys for v, share in values]
    return keys


def _lookup(table: Table, packet: Packet, key: str, where: str) -> list[tuple[Packet, str | None]]:
    elements = table.elements[where[1:]] if where.startswith("@") else dict(_elements(where))
    found = [(packet.share(weight), elements.get(k)) for k, weight in _keys(key, packet)]
    return found or [(packet, None)]


def _vmap(table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    results: list[Result] = []
    for state, verdict in _lookup(table, packet, found.group(1), found.group(2)):
        results += [(state, "no")] if verdict is None else _verdict(table, state, verdict)
    return results


def _verdict(table: Table, packet: Packet, verdict: str) -> list[Result]:
    word, _, target = verdict.partition(" ")
    if word in ("goto", "jump"):
        inner = _chain(table, target, packet)
        # After goto nothing of the calling chain runs any more.
        return [(s, v or ("return" if word == "goto" else "")) for s, v in inner]
    return [(packet, word)]


def _dnat(table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    mapped = re.fullmatch(r"(.+?) map (@\S+|\{.*\})", found.group(1))
    if not mapped:
        ip, _, port = found.group(1).rpartition(":")
        return [(packet.to(same(ip), int(port)), "done")]
    results: list[Result] = []
    for state, target in _lookup(table, packet, mapped.group(1), mapped.group(2)):
        if target is None:
            results.append((state, "no"))
        else:
            ip, port = target.split(" . ")
            results.append((state.to(ip, int(port)), "done"))
    return results


def _mark(_table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    bits = int(found.group(2), 0)
    value = packet.mark | bits if found.group(1) == "|" else packet.mark ^ bits
    return [(replace(packet, mark=value), "")]


def _priority(_table: Table, packet: Packet, found: re.Match[str]) -> list[Result]:
    count = int(found.group(1))
    return [(replace(packet.share(1 / count), priority=number), "") for number in range(count)]


_KEY = r"((?:(?:ip6? [sd]addr|meta l4proto|meta priority|(?:th|tcp|udp|sctp) dport|numgen random mod \d+)(?: \. )?)+)"
_STEPS: list[tuple[re.Pattern[str], Step]] = [
    (re.compile(r"ct state new"), lambda t, p, m: _when(True, p)),
    (re.compile(r"ct state invalid"), lambda t, p, m: _when(False, p)),
    (re.compile(r"ct status dnat"), lambda t, p, m: _when(p.redirected, p)),
    (re.compile(r"fib daddr type local"), lambda t, p, m: _when(p.to_here, p)),
    (re.compile(r"fib saddr type local"), lambda t, p, m: _when(p.from_here, p)),
    (re.compile(r'iifname (!= )?"(.*?)"'), lambda t, p, m: _when(came_by(p, m.group(2)) != bool(m.group(1)), p)),
    (re.compile(_KEY + r" vmap (@\S+|\{.*?\})"), _vmap),
    (re.compile(r"((?:\w+ \w+ \. )+\w+ \w+) @(\S+)"), _member),
    (re.compile(r"(tcp|udp|sctp) dport (\{.*?\}|\d+-\d+|\d+)"), _port_set),
    # A first packet of TCP, UDP or SCTP.
    (re.compile(r"ct state established,(?:related|untracked)"), lambda t, p, m: _when(False, p)),
    (re.compile(r"icmpv6 type \{.*?\}"), lambda t, p, m: _when(False, p)),
    (re.compile(r"meta l4proto (\w+)(?! \.)"), lambda t, p, m: _when(p.protocol == m.group(1), p)),
    (re.compile(r"ip6? ([sd]addr) (!= )?(@\S+|\{.*?\}|[0-9a-f:][0-9a-f.:/]*)"), _address),
    (re.compile(r"meta mark set meta mark ([|^]) (0x[0-9a-f]+)"), _mark),
    (
        re.compile(r"meta mark & (0x[0-9a-f]+) != (?:0x)?0+"),
        lambda t, p, m: _when(bool(p.mark & int(m.group(1), 0)), p),
    ),
    (re.compile(r"meta priority set numgen random mod (\d+)"), _priority),
    (re.compile(r"masquerade fully-random"), lambda t, p, m: [(p, "masquerade")]),
    (re.compile(r"update @\S+ \{.*?\}"), lambda t, p, m: _when(True, p)),
    (re.compile(r"dnat (?:ip6? )?to (.+)"), _dnat),
    (re.compile(r"((?:jump|goto) \S+|drop|reject|accept|return)"), lambda t, p, m: _verdict(t, p, m.group(1))),
]
