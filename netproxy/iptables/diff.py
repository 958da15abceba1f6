"""Pieces to the text iptables-restore reads. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from netproxy.ground import Ground
from netproxy.iptables import base
from netproxy.iptables.plan import Key, Piece, Value
from netproxy.ledger import Delta


def rebuild(pieces: Iterable[Piece], ground: Ground, present: Mapping[str, Iterable[str]]) -> str:
    """All tables in full. `present` (table → chain names) is what the kernel has: Service chains nobody
    claims go."""
    chains: dict[str, dict[str, list[str]]] = {table: {} for table in base.TABLES}
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, value in pieces:
        if key.rule:
            shared[key.table, key.chain].extend(value)
        else:
            chains[key.table][key.chain] = list(value)
    for table, fixed in base.chains(ground).items():
        for chain, rules in fixed.items():
            chains[table][chain] = [*shared.get((table, chain), ()), *rules]
    return "".join(_whole_table(table, chains[table], present.get(table, ())) for table in base.TABLES)


def _whole_table(table: str, chains: Mapping[str, list[str]], present: Iterable[str]) -> str:
    stale = sorted(c for c in present if c.startswith(base.SERVICE_CHAIN_PREFIXES) and c not in chains)
    lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in (*chains, *stale))]
    lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules]
    lines += [f"-X {chain}" for chain in stale]
    return "\n".join([*lines, "COMMIT", ""])


def change(delta: Delta[Key, Value]) -> str:
    """Only what differs: changed chains anew, single rules into and out of shared chains; empty for no
    difference."""
    return "".join(_changed_table(table, delta) for table in base.TABLES)


def _changed_table(table: str, delta: Delta[Key, Value]) -> str:
    added = [(key, value) for key, value in delta.added.items() if key.table == table]
    removed = [(key, value) for key, value in delta.removed.items() if key.table == table]
    if not added and not removed:
        return ""
    kept = {key for key, _ in added}
    gone = [key.chain for key, _ in removed if not key.rule and key not in kept]
    lines = [f"*{table}", *(f":{key.chain} - [0:0]" for key, _ in added if not key.rule)]
    lines += [f":{chain} - [0:0]" for chain in gone]
    lines += [f"-A {key.chain} {rule}" for key, rules in added if not key.rule for rule in rules]
    # The last rule of a shared chain stays last, so new ones go to the front; their matches exclude one
    # another.
    lines += [f"-I {key.chain} {rule}" for key, rules in added if key.rule for rule in rules]
    lines += [f"-D {key.chain} {rule}" for key, rules in removed if key.rule for rule in rules]
    lines += [f"-X {chain}" for chain in gone]
    return "\n".join([*lines, "COMMIT", ""])


def remove_all(present: Mapping[str, Iterable[str]], ground: Ground) -> str:
    """Empty and delete every chain of ours that `present` names; the jumps to them must be gone already."""
    text = ""
    for table, fixed in base.chains(ground).items():
        ours = sorted(c for c in present.get(table, ()) if c in fixed or c.startswith(base.SERVICE_CHAIN_PREFIXES))
        if ours:
            lines = [f"*{table}", *(f":{c} - [0:0]" for c in ours), *(f"-X {c}" for c in ours), "COMMIT", ""]
            text += "\n".join(lines)
    return text
