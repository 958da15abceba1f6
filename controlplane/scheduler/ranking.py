"""The best node, found without looking at each: by the ranks of the board and one node of each group that is alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controlplane.scheduler.board import Board
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Filters, Plugin, Profile, Query
from controlplane.scheduler.groups import Group
from controlplane.scheduler.likeness import Likeness
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.verdicts import Verdict

Scorers = Sequence[tuple[Plugin, int]]
"""Plugins with their weights."""


def best(pod: Pod, profile: Profile, query: Query, board: Board, filters: Filters, tie_break: int) -> Verdict | None:
    """A node with the highest score of all that the board knows to fit; `tie_break` picks among equals.

    None where none of them fits, or where a plugin with a say looks at each node for itself.
    """
    if not board.fitting or not board.is_flat or query.cluster.nominated:
        return None
    rest = filters[len(board.filters) :]
    scorers = [(p, w) for p, w in profile.scorers if p.name not in board.signed and p.judges(pod, query)]
    likenesses = _likenesses(pod, query, {p.name: p for p, _ in (*rest, *scorers)}.values())
    groups = None if likenesses is None else board.groups(likenesses)
    if not groups:
        return None
    for plugin, state in rest:
        answers = plugin.filters(state, pod, _examples(groups))
        groups = [group for group, rejection in zip(groups, answers, strict=True) if rejection is None]
    if not groups:
        return None
    totals = [group.best for group in groups]
    if scorers and len(groups) > 1:
        nodes = _examples(groups)
        standing = {info.node.name: group.size for info, group in zip(nodes, groups, strict=True)}
        totals = judged(pod, profile, replace(query, standing=standing), nodes, totals, scorers)
    return _pick(groups, totals, tie_break)


def judged(
    pod: Pod, profile: Profile, query: Query, nodes: Sequence[NodeInfo], totals: list[float], scorers: Scorers
) -> list[float]:
    """The totals with what plugins say that look further than at one node."""
    before = profile.at("preScore")
    for plugin, weight in scorers:
        state = plugin.pre_score(pod, query, nodes) if plugin in before else None
        if state is not SKIP:
            totals = plus(totals, weight, plugin.normalize(state, nodes, plugin.scores(state, pod, nodes)))
    return totals


def plus(totals: list[float], weight: int, scores: Sequence[float]) -> list[float]:
    """The totals with weighted scores added."""
    return [total + weight * value for total, value in zip(totals, scores, strict=True)]


def _likenesses(pod: Pod, query: Query, plugins: Iterable[Plugin]) -> list[Likeness] | None:
    found: dict[object, Likeness] = {}
    for plugin in plugins:
        more = plugin.likeness(pod, query)
        if more is None:
            return None
        found.update((likeness.question, likeness) for likeness in more)
    return list(found.values())


def _examples(groups: Iterable[Group]) -> list[NodeInfo]:
    return [group.example.info for group in groups]


def _pick(groups: Sequence[Group], totals: Sequence[float], tie_break: int) -> Verdict:
    top = max(totals)
    pools = [group.ranks[group.best] for group, total in zip(groups, totals, strict=True) if total == top]
    number = tie_break % sum(len(pool) for pool in pools)
    for pool in pools:
        if number < len(pool):
            return pool.pick(number)
        number -= len(pool)
    raise AssertionError("a number below the sum of the sizes lies in one of them")
