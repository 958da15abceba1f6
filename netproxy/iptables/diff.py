"""Pieces to the text iptables-restore reads. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from netproxy.ground import Ground
from netproxy.iptables import base
from netproxy.iptables.base import KUBE, Jump, Layout
from netproxy.iptables.plan import Key, Piece, Value
from netproxy.ledger import Delta


def early(chains: Iterable[Piece], ground: Ground, layout: Layout = KUBE) -> str:
    """Chains of Services, with all of them that they lead to, before the text that leads to them (`rebuild`)."""
    mark = {base.MARK_CHAIN: layout.chains(ground)["nat"][base.MARK_CHAIN]}
    return _table("nat", {**mark, **{key.chain: rules for key, rules in chains}}, (), ())


def rebuild(
    pieces: Iterable[Piece],
    ground: Ground,
    present: Mapping[str, Iterable[str]],
    jumps: Collection[Jump],
    layout: Layout = KUBE,
    written: Collection[str] = (),
) -> str:
    """All tables in full, but for chains of `nat` that are `written`; and the `jumps` to them that are missing.

    `present` (table → chain names) is what the kernel has: Service chains nobody claims go.
    """
    known = list(pieces)
    chains = _whole((one for one in known if one[0].chain not in written), ground, layout)
    wanted = {table: {*chains[table], *(key.chain for key, _ in known if key.table == table)} for table in chains}
    stale = {table: _stale(present.get(table, ()), wanted[table], layout) for table in layout.tables}
    return "".join(_table(table, chains[table], stale[table], jumps) for table in layout.tables)


def repair(
    pieces: Iterable[Piece],
    ground: Ground,
    broken: Mapping[str, Collection[str]],
    jumps: Collection[Jump],
    layout: Layout = KUBE,
) -> str:
    """Only these chains (table → names) anew, and these jumps; chains that are not ours any more go."""
    text = ""
    whole = _whole(pieces, ground, layout)
    for table in layout.tables:
        chains = whole[table]
        names = sorted(broken.get(table, ()))
        lines = [f":{name} - [0:0]" for name in names]
        lines += [f"-A {name} {rule}" for name in names for rule in chains.get(name, ())]
        lines += [f"-X {name}" for name in names if name not in chains]
        lines += [f"-I {jump.chain} {jump.rule}" for jump in jumps if jump.table == table]
        text += "\n".join([f"*{table}", *lines, "COMMIT", ""]) if lines else ""
    return text


def sizes(pieces: Iterable[Piece], ground: Ground, layout: Layout = KUBE) -> dict[str, dict[str, int]]:
    """table → chain of ours → how many rules it has after a full write."""
    return {
        table: {chain: len(rules) for chain, rules in chains.items()}
        for table, chains in _whole(pieces, ground, layout).items()
    }


def rules(pieces: Iterable[Piece], table: str) -> int:
    """How many rules of a table these pieces are."""
    return sum(len(value) for key, value in pieces if key.table == table)


def _whole(pieces: Iterable[Piece], ground: Ground, layout: Layout) -> dict[str, dict[str, Sequence[str]]]:
    """table → chain → rules, which of Services' own chains nobody has read yet."""
    chains: dict[str, dict[str, Sequence[str]]] = {table: {} for table in layout.tables}
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, value in pieces:
        if key.rule:
            shared[key.table, key.chain].extend(value)
        else:
            chains[key.table][key.chain] = value
    for table, fixed in layout.chains(ground).items():
        for chain, rules in fixed.items():
            chains[table][chain] = [*shared.get((table, chain), ()), *rules]
    return chains


def _stale(present: Iterable[str], chains: Collection[str], layout: Layout) -> list[str]:
    return sorted(c for c in present if c.startswith(layout.prefixes) and c not in chains)


def _table(table: str, chains: Mapping[str, Sequence[str]], stale: Sequence[str], jumps: Collection[Jump]) -> str:
    # The nft back end keeps its chains in order, and walks past those before: at 5,000 Services sorted declarations
    # take a third of the time.
    lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in sorted((*chains, *stale)))]
    lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules]
    lines += [f"-X {chain}" for chain in stale]
    lines += [f"-I {jump.chain} {jump.rule}" for jump in jumps if jump.table == table]
    return "\n".join([*lines, "COMMIT", ""])


def change(delta: Delta[Key, Value]) -> str:
    """Only what differs: changed chains anew, single rules into and out of shared chains; empty for no difference.

    Tables commit one after the other. A refusal in `filter` matches un-translated packets alone, so it is written
    before `nat` stops translating and taken away after `nat` has begun: no packet falls between.
    """
    nat, refusals = _of_table(delta, "nat"), _of_table(delta, "filter")
    added, removed = Delta({}, refusals.added), Delta(refusals.removed, {})
    return _table_change("filter", added) + _table_change("nat", nat) + _table_change("filter", removed)


def _of_table(delta: Delta[Key, Value], table: str) -> Delta[Key, Value]:
    def only(pieces: Mapping[Key, Value]) -> dict[Key, Value]:
        return {key: value for key, value in pieces.items() if key.table == table}

    return Delta(only(delta.removed), only(delta.added))


def _table_change(table: str, delta: Delta[Key, Value]) -> str:
    if not delta:
        return ""
    gone = [key.chain for key in delta.removed if not key.rule and key not in delta.added]
    added = list(delta.added.items())
    lines = [f"*{table}", *(f":{key.chain} - [0:0]" for key, _ in added if not key.rule)]
    lines += [f":{chain} - [0:0]" for chain in gone]
    lines += [f"-A {key.chain} {rule}" for key, rules in added if not key.rule for rule in rules]
    # The last rule of a shared chain stays last, so new ones go to the front; their matches exclude one another.
    lines += [f"-I {key.chain} {rule}" for key, rules in added if key.rule for rule in rules]
    lines += [f"-D {key.chain} {rule}" for key, rules in delta.removed.items() if key.rule for rule in rules]
    lines += [f"-X {chain}" for chain in gone]
    return "\n".join([*lines, "COMMIT", ""])


def remove_all(present: Mapping[str, Iterable[str]], ground: Ground, layout: Layout = KUBE) -> str:
    """Empty and delete every chain of ours that `present` names; the jumps to them must be gone already."""
    text = ""
    for table in layout.tables:
        ours = sorted(c for c in present.get(table, ()) if layout.is_ours(table, c, ground))
        if ours:
            lines = [f"*{table}", *(f":{c} - [0:0]" for c in ours), *(f"-X {c}" for c in ours), "COMMIT", ""]
            text += "\n".join(lines)
    return text
