"""Pieces to the text of one nft transaction. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from netproxy.ground import Ground
from netproxy.ledger import Delta
from netproxy.model import Family
from netproxy.nftables import base
from netproxy.nftables.plan import AFFINITY, CHAIN, Key, Piece, Value, ip_word

_ELEMENTS_A_LINE = 500


def remove_table(ground: Ground) -> str:
    """Deletes the table whether it exists or not."""
    table = _table(ground)
    return f"add table {table}\ndelete table {table}\n"


def rebuild(pieces: Iterable[Piece], ground: Ground) -> str:
    """The whole table, replacing whatever the kernel has under its name: packets see the old or the new
    one."""
    table = _table(ground)
    by_kind = _sorted_out(pieces)
    chains = {**base.chains(ground), **{k.text: v for k, v in by_kind.pop(CHAIN, ())}}
    sets = by_kind.pop(AFFINITY, ())
    lines = [f"add table {table}", f"delete table {table}", f"add table {table}"]
    for container in base.containers(ground.family):
        kind, _, rest = container.partition(" ")
        name, _, body = rest.partition(" ")
        lines.append(f"add {kind} {table} {name} {body}")
    lines += [_affinity_set(table, key, ground.family) for key, _ in sets]
    lines += [f"add chain {table} {name}" for name in chains]
    lines += [f"add rule {table} {name} {rule}" for name, rules in chains.items() for rule in rules]
    for container, elements in by_kind.items():
        lines += _elements("add", table, container, elements)
    for name, hook, rules in base.hooks():
        lines.append(f"add chain {table} {name} {{ {hook} }}")
        lines += [f"add rule {table} {name} {rule}" for rule in rules]
    return "\n".join(lines) + "\n"


def change(delta: Delta[Key, Value], ground: Ground) -> str:
    """From one state of the pieces to the next; empty when nothing differs.

    Order matters inside a transaction: what is referred to is created first, and deleted only when nothing
    refers to it any more.
    """
    table = _table(ground)
    new, old = _sorted_out(delta.added.items()), _sorted_out(delta.removed.items())
    new_chains, old_chains = new.pop(CHAIN, []), old.pop(CHAIN, [])
    new_sets, old_sets = new.pop(AFFINITY, []), old.pop(AFFINITY, [])
    kept_chains = {key for key, _ in new_chains} & {key for key, _ in old_chains}
    gone = [key.text for key, _ in old_chains if key not in kept_chains]
    lines = [f"add chain {table} {key.text}" for key, _ in new_chains if key not in kept_chains]
    lines += [f"flush chain {table} {key.text}" for key, _ in old_chains]
    for container, elements in old.items():
        lines += _elements("delete", table, container, [(key, ("",)) for key, _ in elements])
    lines += [f"delete set {table} {key.text}" for key, _ in old_sets]
    lines += [_affinity_set(table, key, ground.family) for key, _ in new_sets]
    lines += [f"add rule {table} {key.text} {rule}" for key, rules in new_chains for rule in rules]
    for container, elements in new.items():
        lines += _elements("add", table, container, elements)
    lines += [f"delete chain {table} {name}" for name in gone]
    return "\n".join(lines) + "\n" if lines else ""


def _table(ground: Ground) -> str:
    return f"{ip_word(ground.family)} {ground.nft_table}"


def _sorted_out(pieces: Iterable[Piece]) -> dict[str, list[Piece]]:
    result: dict[str, list[Piece]] = defaultdict(list)
    for key, value in pieces:
        result[key.container].append((key, value))
    return result


def _affinity_set(table: str, key: Key, family: Family) -> str:
    ip = "ipv4_addr" if family is Family.IPV4 else "ipv6_addr"
    return f"add set {table} {key.text} {{ type {ip}; size 65535; flags dynamic,timeout; }}"


def _elements(verb: str, table: str, container: str, elements: list[Piece]) -> Iterator[str]:
    for start in range(0, len(elements), _ELEMENTS_A_LINE):
        part = elements[start : start + _ELEMENTS_A_LINE]
        body = ", ".join(f"{key.text} : {value[0]}" if value[0] else key.text for key, value in part)
        yield f"{verb} element {table} {container} {{ {body} }}"
