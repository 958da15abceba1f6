"""One scheduling decision: filter, score, choose. Pure; the cluster is only read (save its search cursor)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controlplane.scheduler.board import Board, Boards, refuse
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Filters, Only, Plugin, Profile, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.ranking import best, judged, plus
from controlplane.scheduler.verdicts import Refusal, Verdict

# Small clusters are searched whole; large ones until enough nodes fit (upstream's adaptive percentage).
ALWAYS_SEARCHED = 100
LOWEST_PERCENTAGE = 5
# Nodes looked at together: a few more than enough may then be compared.
SMALLEST_WINDOW = 64


@dataclass(frozen=True)
class Decision:
    """Either `node` is set, or `rejections` says by node name why none is.

    `absent`: why those nodes are out that are not in `rejections`. `plugins` names the plugins that refused the
    pod somewhere; `everywhere`: one refused it before any node was looked at, and why. `fits`: the nodes to choose
    from, where that takes more than ranks.
    """

    node: str = ""
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    absent: Rejection | None = None
    plugins: frozenset[str] = frozenset()
    fits: tuple[Verdict, ...] = ()
    filters: Filters = ()
    everywhere: str = ""
    board: Board | None = None

    def narrowed(
        self, fits: Iterable[Verdict], rejections: Mapping[str, Rejection] | None = None, plugins: Iterable[str] = ()
    ) -> Decision:
        """The same with fewer nodes that fit, and why."""
        return replace(
            self,
            fits=tuple(fits),
            rejections={**self.rejections, **(rejections or {})},
            plugins=self.plugins.union(plugins),
        )


def decide(pod: Pod, profile: Profile, query: Query, boards: Boards, tie_break: int = 0) -> Decision:
    """Choose a node. `tie_break` picks among nodes of equal score: the caller owns the randomness.

    Where some nodes fit, it is not told who refused the others.
    """
    found = find(pod, profile, query, boards, by_rank=tie_break)
    return choose(pod, profile, query, found, tie_break) if found.fits else found


def find(pod: Pod, profile: Profile, query: Query, boards: Boards, by_rank: int | None = None) -> Decision:
    """The nodes that fit (`fits`), enough of them, or why none does.

    `by_rank`: where no plugin with a say looks at each node, one is chosen at once, this number picking among equals.
    """
    cluster = query.cluster
    if not cluster.nodes:
        return Decision()
    board = boards.of(pod, profile, query)
    filters, only, refusal = _pre_filter(pod, profile, query, board)
    if refusal is not None:
        plugin, rejection = refusal
        return Decision(absent=rejection, plugins=frozenset((plugin,)), everywhere=rejection.reason)
    nominated = cluster.nominated.node_of(pod.uid) or pod.nominated
    search = _Search(pod, cluster, board, filters, by_rank is not None)
    if nominated in cluster.nodes and search.look([board.of(pod, nominated)]):
        return search.result()
    search = _Search(pod, cluster, board, filters, by_rank is not None)
    if only is not None:
        names, plugins = only
        search.look([board.of(pod, name) for name in sorted(names & cluster.nodes.keys())])
        absent = Rejection(f"node(s) didn't satisfy plugin(s) [{' '.join(plugins)}]", unresolvable=True)
        return search.result(absent, plugins)
    enough = wanted(len(cluster.nodes), profile.percentage)
    board.until(pod, enough)
    first = None if by_rank is None else best(pod, profile, query, board, filters, by_rank)
    if first is not None:
        return Decision(first.info.node.name, filters=filters, board=board)
    search.until(enough)
    return search.result()


class _Search:
    """Looks at nodes that passed the filters of the board, with the other filters, until enough fit.

    `brief`: who refused nodes need not be told where others fit.
    """

    def __init__(self, pod: Pod, cluster: Cluster, board: Board, filters: Filters, brief: bool) -> None:
        self._pod, self._cluster, self._board, self._filters = pod, cluster, board, filters
        self._rest = filters[len(board.filters) :]
        self._brief = brief
        self._fits: list[Verdict] = []
        self._refused: dict[str, Refusal] = {}
        # By plugin: nodes that it was asked about, and its answers.
        self._answers: list[tuple[Plugin, Sequence[Verdict], Sequence[Rejection | None]]] = []

    def look(self, verdicts: Sequence[Verdict], fit_board: bool = False) -> bool:
        """Whether any of them fits; the answers are kept. `fit_board`: those that the board lets through."""
        left = verdicts if fit_board and not self._cluster.nominated else self._unblocked(verdicts)
        for plugin, state in self._rest:
            answers = plugin.filters(state, self._pod, [verdict.info for verdict in left])
            if any(answers):
                self._answers.append((plugin, left, answers))
                left = [verdict for verdict, rejection in zip(left, answers, strict=True) if rejection is None]
        self._fits += left
        return bool(left)

    def _unblocked(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Those that the board lets through, also with the pods that are nominated for them."""
        nominated = self._cluster.nominated
        left: list[Verdict] = []
        for verdict in verdicts:
            refusal = verdict.refusal
            if nominated.before(self._pod, verdict.info.node.name):
                refusal = blocked(self._pod, self._filters, self._cluster, verdict.info)
            if refusal is None:
                left.append(verdict)
            else:
                self._refused[verdict.info.node.name] = refusal
        return left

    def until(self, enough: int) -> None:
        """Look on from where the last search ended, so that all nodes get their turn, until so many fit."""
        board, cluster = self._board, self._cluster
        looked = 0
        while len(self._fits) < enough:
            if looked >= len(board.fitting):
                board.until(self._pod, enough - len(self._fits))
            left = len(board.fitting) - looked
            if left <= 0:
                break
            size = min(max(enough - len(self._fits), SMALLEST_WINDOW), left)
            window = board.fitting.window(cluster.cursor + looked, size)
            self.look(window, fit_board=True)
            looked += len(window)
        cluster.cursor += looked
        if not self._fits:
            self._refused.update(board.rejections)

    def result(self, absent: Rejection | None = None, plugins: Iterable[str] = ()) -> Decision:
        if not (self._brief and self._fits):
            for plugin, asked, answers in self._answers:
                for verdict, rejection in zip(asked, answers, strict=True):
                    if rejection is not None:
                        self._refused[verdict.info.node.name] = (plugin, rejection)
        return Decision(
            rejections={name: rejection for name, (_, rejection) in self._refused.items()},
            absent=absent,
            plugins=frozenset((*(plugin.name for plugin, _ in self._refused.values()), *plugins)),
            fits=tuple(self._fits),
            filters=self._filters,
            board=self._board,
        )


def _pre_filter(
    pod: Pod, profile: Profile, query: Query, board: Board
) -> tuple[Filters, tuple[frozenset[str], list[str]] | None, tuple[str, Rejection] | None]:
    """All filters with their states, the nodes to which some plugins narrow the search, or who refuses everything."""
    if board.refusal is not None:
        return (), None, (board.refusal[0].name, board.refusal[1])
    states: dict[str, Any] = {}
    narrowing = list(board.only)
    for plugin in profile.at("preFilter"):
        if plugin.name in board.signed:
            continue
        state = plugin.pre_filter(pod, query)
        if isinstance(state, Rejection):
            return (), None, (plugin.name, state)
        if isinstance(state, Only):
            narrowing.append((plugin, state))
            state = state.state
        states[plugin.name] = state
    filters = board.filters + _later(states, pod, profile, query, board)
    if not narrowing:
        return filters, None, None
    names = frozenset.intersection(*(only.nodes for _, only in narrowing))
    plugins = sorted(plugin.name for plugin, _ in narrowing)
    if not names:
        listed = f"plugin(s) [{' '.join(plugins)}] simultaneously" if len(plugins) > 1 else f"plugin {plugins[0]}"
        return (), None, (plugins[0], Rejection(f"node(s) didn't satisfy {listed}", unresolvable=True))
    return filters, (names, plugins), None


def _later(states: Mapping[str, Any], pod: Pod, profile: Profile, query: Query, board: Board) -> Filters:
    """The filters from the first that does not sign, with their states."""
    filters = profile.at("filter")
    first = next((i for i, plugin in enumerate(filters) if plugin.name not in board.signed), len(filters))
    found: list[tuple[Plugin, Any]] = []
    for plugin in filters[first:]:
        state = states.get(plugin.name)
        if plugin.name in board.signed and plugin in profile.at("preFilter"):
            answer = plugin.pre_filter(pod, query)
            state = answer.state if isinstance(answer, Only) else answer
        if state is not SKIP:
            found.append((plugin, state))
    return tuple(found)


def blocked(pod: Pod, filters: Filters, cluster: Cluster, info: NodeInfo) -> Refusal | None:
    """Who refuses the node: with the pods that are nominated for it and come first, or as it is."""
    others = cluster.nominated.before(pod, info.node.name)
    if others:
        fuller, fullest = filters, info
        for other in others:
            fullest = fullest.with_pod(other)
            fuller = counting(fuller, pod, other, fullest, 1)
        if (refusal := refuse(pod, fuller, fullest)) is not None:
            return refusal
    return refuse(pod, filters, info)


def counting(filters: Filters, pod: Pod, other: Pod, info: NodeInfo, sign: int) -> Filters:
    """The filters' states as if `other` were on the node too (1), or were not (-1)."""
    return tuple((plugin, plugin.counting(state, pod, other, info, sign)) for plugin, state in filters)


def wanted(total: int, percentage: int = 0) -> int:
    """How many fitting nodes are enough: all of 100, 50 % less one per 125 nodes beyond, never under 5 %."""
    if total < ALWAYS_SEARCHED:
        return total
    share = percentage or max(50 - total // 125, LOWEST_PERCENTAGE)
    return max(total * share // 100, ALWAYS_SEARCHED)


def choose(
    pod: Pod,
    profile: Profile,
    query: Query,
    found: Decision,
    tie_break: int = 0,
    extra: Mapping[str, float] | None = None,
) -> Decision:
    """The best of the nodes that fit; `extra`: points by node name from outside the profile."""
    fits = found.fits
    if len(fits) == 1:
        return replace(found, node=fits[0].info.node.name)
    totals = score(pod, profile, query, fits, found.board)
    if extra:
        totals = [total + extra.get(verdict.info.node.name, 0) for total, verdict in zip(totals, fits, strict=True)]
    top = max(totals)
    equal = [i for i, total in enumerate(totals) if total == top]
    return replace(found, node=fits[equal[tie_break % len(equal)]].info.node.name)


def score(pod: Pod, profile: Profile, query: Query, fits: Sequence[Verdict], board: Board | None) -> list[float]:
    """Weighted sum of the plugins' normalized scores, in the order of the nodes."""
    nodes = [verdict.info for verdict in fits]
    totals = [verdict.total for verdict in fits]
    for index, (plugin, state, weight) in enumerate(board.scaled if board else ()):
        raw = [verdict.raw[index] for verdict in fits]
        # Scores that are all the same say nothing, however they are scaled.
        if min(raw) != max(raw):
            totals = plus(totals, weight, plugin.normalize(state, nodes, raw))
    signed = board.signed if board else ()
    scorers = [(plugin, weight) for plugin, weight in profile.scorers if plugin.name not in signed]
    return judged(pod, profile, query, nodes, totals, scorers)
