"""Pieces to the text of one nft transaction, or packed where they are elements alone. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from apimachinery.kit.netlink import Request, elements
from netproxy.ledger import Delta
from netproxy.nftables.layout import NUMBERS, Layout
from netproxy.nftables.plan import CHAIN, SET, Key, Piece, Value

_ELEMENTS_A_LINE = 500
_FEW = 200
"""elements, of some 100 bytes each: a transaction's requests are sent as one"""


def rebuild(pieces: Iterable[Piece], layout: Layout, present: Collection[str]) -> tuple[str, ...]:
    """The whole table, as transactions to run in this order.

    `present` names the chains, sets and maps the kernel has in it. Where they are ours the table is rewritten in place
    (session affinity is remembered, and hooks stay); else it is made anew.
    """
    kept = {name for name, _, _ in layout.hooks} | {_container(c)[1] for c in layout.containers}
    return _in_place(pieces, layout, present) if kept <= set(present) else anew(pieces, layout)


def anew(pieces: Iterable[Piece], layout: Layout) -> tuple[str, ...]:
    """The whole table, whatever is there under its name, as transactions to run in this order."""
    filling = change(Delta({}, dict(pieces)), layout)
    first, *rest = hooked(layout)
    return "".join((bare(layout), *filling, first)), *rest


def bare(layout: Layout) -> str:
    """Our table without anything of the pieces, and without hooks: no packet comes to it."""
    table = layout.table
    lines = [f"add table {table}", f"delete table {table}", f"add table {table}"]
    for container in layout.containers:
        kind, _, rest = container.partition(" ")
        name, _, body = rest.partition(" ")
        lines.append(f"add {kind} {table} {name} {body}")
    lines += [f"add chain {table} {name}" for name in layout.chains]
    lines += _rules(table, layout.chains)
    return _text(lines)


def hooked(layout: Layout) -> tuple[str, ...]:
    """What makes packets come to it, as transactions to run in this order."""
    table, result = layout.table, []
    for are_last in (False, True):
        hooks = [hook for hook in layout.hooks if (hook[0] in layout.last) is are_last]
        lines = [f"add chain {table} {name} {{ {hook} }}" for name, hook, _ in hooks]
        lines += _rules(table, {name: rules for name, _, rules in hooks})
        if lines:
            result.append(_text(lines))
    return tuple(result)


def _in_place(pieces: Iterable[Piece], layout: Layout, present: Collection[str]) -> tuple[str, ...]:
    table = layout.table
    by_kind = _sorted_out(pieces)
    chains = {**layout.chains, **{k.text: v for k, v in by_kind.pop(CHAIN, ())}}
    chains.update({name: rules for name, _, rules in layout.hooks if name not in layout.last})
    last = {name: rules for name, _, rules in layout.hooks if name in layout.last}
    sets = {key.text: value for key, value in by_kind.pop(SET, ())}
    containers = [_container(c) for c in layout.containers]
    new = {name: rules for name, rules in chains.items() if name not in present}
    stale = sorted(set(present) - chains.keys() - last.keys() - sets.keys() - {name for _, name in containers})
    stale_sets = [name for name in stale if name.startswith(layout.set_prefixes)]
    stale_chains = [name for name in stale if not name.startswith(layout.set_prefixes)]
    first = [f"add set {table} {name} {body}" for name, (body,) in sets.items() if name not in present]
    first += [f"add chain {table} {name}" for name in new]
    first += _rules(table, new)
    second = [f"flush chain {table} {name}" for name in (*(c for c in chains if c not in new), *stale_chains)]
    second += [f"flush {kind} {table} {name}" for kind, name in containers]
    # What packets put into a set is remembered.
    filled_by_us = [name for name, (body,) in sets.items() if name in present and "dynamic" not in body]
    second += [f"flush set {table} {name}" for name in filled_by_us]
    second += _rules(table, {name: rules for name, rules in chains.items() if name not in new})
    for container, come in by_kind.items():
        second += _elements("add", table, container, come)
    second += [f"delete chain {table} {name}" for name in stale_chains]
    second += [f"delete set {table} {name}" for name in stale_sets]
    third = [*(f"flush chain {table} {name}" for name in last), *_rules(table, last)]
    return tuple(_text(lines) for lines in (first, second, third) if lines)


def change(delta: Delta[Key, Value], layout: Layout) -> tuple[str, ...]:
    """From one state of the pieces to the next, as transactions to run in this order; none for no difference.

    New chains come in a transaction of their own. A packet walks the chains of the generation in which it began, but
    looks maps up in the newest: in one transaction it could be sent by a new element to a chain that is still empty
    to it, and be lost. Within a transaction, what is referred to is deleted only when nothing refers to it any more.
    """
    table = layout.table
    new, old = _sorted_out(delta.added.items()), _sorted_out(delta.removed.items())
    chains = {key.text: rules for key, rules in new.pop(CHAIN, [])}
    old_chains = [key.text for key, _ in old.pop(CHAIN, [])]
    fresh = {name: rules for name, rules in chains.items() if name not in old_chains}
    first = [f"add set {table} {key.text} {body}" for key, (body,) in new.pop(SET, [])]
    first += [f"add chain {table} {name}" for name in fresh]
    first += _rules(table, fresh)
    second = [f"flush chain {table} {name}" for name in old_chains]
    old_sets = [key.text for key, _ in old.pop(SET, [])]
    for container, gone in old.items():
        if container in old_sets:
            continue  # its elements go with it
        second += _elements("delete", table, container, [(key, ("",)) for key, _ in gone])
    second += _rules(table, {name: rules for name, rules in chains.items() if name not in fresh})
    for container, come in new.items():
        second += _elements("add", table, container, come)
    second += [f"delete chain {table} {name}" for name in old_chains if name not in chains]
    second += [f"delete set {table} {name}" for name in old_sets]
    return tuple(_text(lines) for lines in (first, second) if lines)


def exchange(delta: Delta[Key, Value], layout: Layout) -> tuple[Request, ...]:
    """The same where a few elements of fixed sets and maps come and go, packed for one transaction; else none."""
    new, old = _sorted_out(delta.added.items()), _sorted_out(delta.removed.items())
    few = len(delta.added) + len(delta.removed) <= _FEW
    if not few or not (new.keys() | old.keys()) <= layout.elements.keys():
        return ()
    gone: list[Request] = []
    for container, pieces in old.items():
        key, _ = layout.elements[container]
        gone += elements.remove(NUMBERS[layout.family], layout.name, container, key, [one.text for one, _ in pieces])
    return (*gone, *_packed(new, layout))


def filling(delta: Delta[Key, Value], layout: Layout) -> tuple[tuple[str, ...], Iterator[Request]]:
    """The same for a table to which no packet comes yet: texts to run first, and after them elements, packed."""
    if delta.removed:
        return change(delta, layout), iter(())
    pieces = _sorted_out(delta.added.items())
    rest = {key: value for container in pieces.keys() - layout.elements.keys() for key, value in pieces[container]}
    return change(Delta({}, rest), layout), _packed(pieces, layout)


def _packed(pieces: Mapping[str, list[Piece]], layout: Layout) -> Iterator[Request]:
    for container, (key, value) in layout.elements.items():
        # Of a dozen, a change mostly knows one.
        if container in pieces:
            pairs = [(one.text, data) for one, (data,) in pieces[container]]
            yield from elements.add(NUMBERS[layout.family], layout.name, container, key, value, pairs)


def _rules(table: str, chains: Mapping[str, Value]) -> Iterator[str]:
    return (f"add rule {table} {name} {rule}" for name, rules in chains.items() for rule in rules)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _container(declaration: str) -> tuple[str, str]:
    """Its kind (set or map) and name."""
    kind, name = declaration.split(" ", 2)[:2]
    return kind, name


def _sorted_out(pieces: Iterable[Piece]) -> dict[str, list[Piece]]:
    result: dict[str, list[Piece]] = defaultdict(list)
    for key, value in pieces:
        result[key.container].append((key, value))
    return result


def _elements(verb: str, table: str, container: str, pieces: list[Piece]) -> Iterator[str]:
    for start in range(0, len(pieces), _ELEMENTS_A_LINE):
        part = pieces[start : start + _ELEMENTS_A_LINE]
        body = ", ".join(f"{key.text} : {value[0]}" if value[0] else key.text for key, value in part)
        yield f"{verb} element {table} {container} {{ {body} }}"
