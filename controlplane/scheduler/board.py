"""What is remembered of nodes for pods that are the same to the plugins.

Most plugins look at a pod and a node and at nothing else, and most pods are copies of one another. So what such plugins
said of a node stands, for all pods of one sign, until the node changes: the next copy costs the nodes that changed
meanwhile, not the nodes there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Filters, Only, Plugin, Profile, Query, Rejection
from controlplane.scheduler.groups import Group, Groupings
from controlplane.scheduler.likeness import Likeness
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.verdicts import Pool, Refusal, Verdict

# Signs that are remembered; the one not asked for longest is forgotten. A board has an entry for each node looked at.
BOARDS = 32


class Board:
    """What plugins that sign said of nodes for pods of one sign.

    `filters`: those before the first filter that does not sign, for a node is refused by the first that refuses.
    `fitting`: the nodes that these let through. `rejections`: the others that were asked about, by name.
    """

    def __init__(self, pod: Pod, profile: Profile, query: Query) -> None:
        self.only: list[tuple[Plugin, Only]] = []
        self.refusal: Refusal | None = None
        self.signed = frozenset(name for name, p in profile.plugins.items() if p.sign(pod) is not None)
        self.filters: Filters = ()
        states = self._pre_filter(pod, profile, query)
        for plugin in profile.at("filter"):
            if plugin.name not in self.signed:
                break
            if states.get(plugin.name) is not SKIP:
                self.filters += ((plugin, states.get(plugin.name)),)
        self.plain: list[tuple[Plugin, Any, int]] = []
        self.scaled: list[tuple[Plugin, Any, int]] = []
        for plugin, weight in profile.scorers:
            if plugin.name in self.signed:
                self._add_scorer(plugin, weight, pod, profile, query)
        self._cluster = query.cluster
        self._seen = query.cluster.changes
        self._verdicts: dict[str, Verdict] = {}
        self.fitting = Pool()
        self.rejections: dict[str, Refusal] = {}
        self._groupings = Groupings(self.fitting)
        # How many fitting nodes have each raw score: where all have the same, scaling has nothing to say.
        self._raw: list[dict[float, int]] = [{} for _ in self.scaled]
        self._unasked: Iterator[str] | None = None

    def _pre_filter(self, pod: Pod, profile: Profile, query: Query) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for plugin in profile.at("preFilter"):
            if plugin.name not in self.signed:
                continue
            state = plugin.pre_filter(pod, query)
            if isinstance(state, Rejection):
                self.refusal = self.refusal or (plugin, state)
            elif isinstance(state, Only):
                self.only.append((plugin, state))
                state = state.state
            states[plugin.name] = state
        return states

    def _add_scorer(self, plugin: Plugin, weight: int, pod: Pod, profile: Profile, query: Query) -> None:
        state = plugin.pre_score(pod, query, ()) if plugin in profile.at("preScore") else None
        if state is not SKIP:
            scaled = type(plugin).normalize is not Plugin.normalize
            (self.scaled if scaled else self.plain).append((plugin, state, weight))

    @property
    def is_flat(self) -> bool:
        """Whether the scores that need scaling are the same for all fitting nodes."""
        return all(len(values) < 2 for values in self._raw)

    def groups(self, likenesses: Sequence[Likeness]) -> list[Group] | None:
        """The nodes known to fit, in groups that are the same in all that is told; None where that would not pay."""
        return self._groupings.of(likenesses)

    def of(self, pod: Pod, name: str) -> Verdict:
        """What is said of a node as it is now."""
        info = self._cluster.nodes[name]
        verdict = self._verdicts.get(name)
        if verdict is None or verdict.info is not info:
            verdict = self._ask(pod, info)
            self._put(name, verdict)
        return verdict

    def follow(self, pod: Pod) -> None:
        """Ask again about the nodes that have changed since."""
        cluster = self._cluster
        for name in cluster.changed_since(self._seen, self._verdicts):
            info = cluster.nodes.get(name)
            known = self._verdicts.get(name)
            if known is not None and known.info is not info:
                self._put(name, None if info is None else self._ask(pod, info))
        self._seen = cluster.changes

    def until(self, pod: Pod, enough: int) -> None:
        """Ask about nodes not asked about yet, until so many more are known to fit, or all are asked about."""
        if len(self._verdicts) >= len(self._cluster.nodes):
            return
        names = self._cluster.order()
        missing = enough
        while missing > 0 and len(self._verdicts) < len(names):
            if self._unasked is None:
                self._unasked = iter(self._from_cursor(names))
            name = next(self._unasked, None)
            if name is None:
                # Nodes came meanwhile: look for them from the start.
                self._unasked = None
            elif name not in self._verdicts and name in self._cluster.nodes:
                missing -= self.of(pod, name).refusal is None

    def _from_cursor(self, names: list[str]) -> list[str]:
        """Boards begin at different nodes, so that pods of few copies do not all go to the first ones."""
        start = self._cluster.cursor % len(names)
        self._cluster.cursor = start + len(names) // 7 + 1
        return names[start:] + names[:start]

    def _ask(self, pod: Pod, info: NodeInfo) -> Verdict:
        refusal = refuse(pod, self.filters, info)
        if refusal is not None:
            return Verdict(info, refusal)
        total = sum(weight * plugin.score(state, pod, info) for plugin, state, weight in self.plain)
        return Verdict(info, None, total, tuple(plugin.score(state, pod, info) for plugin, state, _ in self.scaled))

    def _put(self, name: str, verdict: Verdict | None) -> None:
        old = self._verdicts.pop(name, None)
        if old is not None:
            self._count(name, old, gone=True)
        if verdict is not None:
            self._verdicts[name] = verdict
            self._count(name, verdict, gone=False)

    def _count(self, name: str, verdict: Verdict, gone: bool) -> None:
        if verdict.refusal is not None:
            if gone:
                del self.rejections[name]
            else:
                self.rejections[name] = verdict.refusal
            return
        if gone:
            self.fitting.discard(name)
        else:
            self.fitting.add(name, verdict)
        self._groupings.changed(name)
        for values, value in zip(self._raw, verdict.raw, strict=True):
            count = values.get(value, 0) + (-1 if gone else 1)
            if count:
                values[value] = count
            else:
                del values[value]


class Boards:
    """The boards of the signs that were asked for last."""

    def __init__(self) -> None:
        self._boards: OrderedDict[Hashable, Board] = OrderedDict()

    def of(self, pod: Pod, profile: Profile, query: Query) -> Board:
        """The board for a pod's sign, which knows of every node as it is now or not at all."""
        sign = (profile.name, *(p.sign(pod) for p in profile.plugins.values()))
        board = self._boards.get(sign)
        if board is None:
            board = self._boards[sign] = Board(pod, profile, query)
            if len(self._boards) > BOARDS:
                self._boards.popitem(last=False)
        self._boards.move_to_end(sign)
        board.follow(pod)
        return board


def refuse(pod: Pod, filters: Iterable[tuple[Plugin, Any]], info: NodeInfo) -> Refusal | None:
    """The first plugin that refuses the node and why."""
    for plugin, state in filters:
        rejection = plugin.filter(state, pod, info)
        if rejection is not None:
            return plugin, rejection
    return None
