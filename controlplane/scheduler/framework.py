"""The shape of the scheduler: what a plugin may answer, and how a profile strings plugins together.

Extension points keep upstream's names and order (scheduling framework, KEP-624): PreEnqueue, QueueSort, PreFilter,
Filter, PostFilter, PreScore, Score, Reserve, Permit, PreBind, Bind, PostBind. A plugin overrides the ones it takes part
in; a profile is a tuple of plugins for each point and decides nothing itself. Everything up to Reserve is a pure
function of frozen views and the cluster's counts; only what comes after writes.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from apimachinery.client import Client
from controlplane.scheduler.candidates import Candidate
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.likeness import Likeness
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.refused import Refused as Refused
from controlplane.scheduler.storage import Storage
from controlplane.scheduler.surroundings import Budgets, Workloads

MAX_SCORE = 100


class Skip(enum.Enum):
    """Answer of pre_filter or pre_score: this plugin has no say in this pod."""

    SKIP = "skip"


SKIP = Skip.SKIP


@dataclass(frozen=True)
class Rejection:
    """Why a pod may not go to a node. `unresolvable`: removing pods from the node would not help."""

    reason: str
    unresolvable: bool = False


@dataclass(frozen=True)
class Only:
    """Answer of pre_filter: no other nodes than these come into question; `state` is for `filter`, or SKIP."""

    nodes: frozenset[str]
    state: Any = None


@dataclass(frozen=True)
class Query:
    """What a plugin may look at beside one node. `standing`: how many nodes one that is shown stands for, by its name,
    where it is shown for all that are like it.
    """

    cluster: Cluster
    workloads: Workloads = field(default_factory=Workloads)
    storage: Storage = field(default_factory=Storage)
    budgets: Budgets = field(default_factory=Budgets)
    standing: Mapping[str, int] = field(default_factory=dict)


Write = Callable[[Client], Awaitable[None]]
"""Something a plugin wants written. ApiError, Unreachable."""


@dataclass(frozen=True)
class Found:
    """Answer of post_filter: where the pod could go once others are gone, the least harmful first, or upstream's
    message why nowhere. `clear`: a nomination that the pod had is void. `writes`: what is to be written beside.
    """

    message: str = ""
    candidates: tuple[Candidate, ...] = ()
    clear: bool = False
    writes: tuple[Write, ...] = ()

    @property
    def node(self) -> str:
        """The one that is chosen, "" for none."""
        return self.candidates[0].node if self.candidates else ""

    @property
    def victims(self) -> tuple[Pod, ...]:
        """The pods that have to go from there."""
        return self.candidates[0].victims if self.candidates else ()


Filters = tuple[tuple["Plugin", Any], ...]
"""Plugins that take part in filtering a pod, each with its state."""


class Refusing(Protocol):
    """A decision against all nodes, as `post_filter` is told of it."""

    @property
    def rejections(self) -> Mapping[str, Rejection]:
        """Why, by node name."""

    @property
    def absent(self) -> Rejection | None:
        """Why those nodes are out that are not in `rejections`."""

    @property
    def filters(self) -> Filters:
        """Those that were asked; empty where the pod was refused before any node was looked at."""


class Plugin:
    """Base of all plugins: every extension point with the answer of a plugin that takes no part."""

    name: str = ""
    helped_by: frozenset[Change] = frozenset()

    def pre_enqueue(self, pod: Pod) -> str | None:
        """A reason to keep the pod out of the queue."""
        return None

    def queue_key(self, pod: Pod, added: float) -> Any:
        """What the queue is sorted by, lowest first; `added`: monotonic seconds (QueueSort)."""
        return None

    def may_help(self, pod: Pod, event: Event) -> bool:
        """Whether a change, of a kind in `helped_by`, may make a pod fit that this plugin refused."""
        return True

    def sign(self, pod: Pod) -> Hashable:
        """All of the pod that `filter` and `score` look at, for a plugin that looks at nothing else but the node:
        its answers are then remembered for pods of the same sign until the node changes. None: it looks further.
        """
        return None

    def likeness(self, pod: Pod, query: Query) -> Sequence[Likeness] | None:
        """Which nodes are the same to `filters` and `scores`: those that are alike in all that is answered. None: no
        two are. Asked of plugins that do not sign.
        """
        return None

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """State for `filter`, SKIP, Only, or a Rejection of every node."""
        return None

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        """Why the pod may not go to the node, or None. `state`: what `pre_filter` answered."""
        return None

    def filters(self, state: Any, pod: Pod, nodes: Sequence[NodeInfo]) -> Sequence[Rejection | None]:
        """`filter` of each node; to be overridden where all at once are cheaper."""
        return [self.filter(state, pod, info) for info in nodes]

    def counting(self, state: Any, pod: Pod, other: Pod, info: NodeInfo, sign: int) -> Any:
        """The state as if `other` were on the node as well (`sign` 1), or were not (-1); `state` itself stays."""
        return state

    def post_filter(self, pod: Pod, profile: Profile, query: Query, decision: Refusing) -> Found | None:
        """How room might be made for a pod that fits nowhere, or None to leave it to the next plugin."""
        return None

    def judges(self, pod: Pod, query: Query) -> bool:
        """Whether `score` may prefer one node to another for the pod; asked of plugins that do not sign."""
        return True

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """State for `score` or SKIP; `nodes` are those that passed all filters (none for a plugin that signs)."""
        return None

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """How well the node suits, raw: any scale that `normalize` understands. `state`: `pre_score`'s answer."""
        return 0

    def scores(self, state: Any, pod: Pod, nodes: Sequence[NodeInfo]) -> Sequence[float]:
        """`score` of each node; to be overridden where all at once are cheaper."""
        return [self.score(state, pod, info) for info in nodes]

    def normalize(self, state: Any, nodes: Sequence[NodeInfo], scores: Sequence[float]) -> Sequence[float]:
        """Raw scores to 0..MAX_SCORE, in the same order."""
        return scores

    def reserve(self, pod: Pod, info: NodeInfo) -> None:
        """Take what the pod will use on the node; must be undone by `unreserve`. Refused."""

    def unreserve(self, pod: Pod, node: str) -> None:
        """Give it back. Called for a binding that failed and for a pod that went meanwhile, also when `reserve`
        never ran."""

    async def retract(self, client: Client, pod: Pod, node: str) -> None:
        """Take back what `pre_bind` wrote, for a binding that failed; after `unreserve`. ApiError, Unreachable."""

    async def permit(self, pod: Pod, node: str) -> None:
        """Hold the pod back until it may be bound (upstream's wait), for no longer than the plugin says. Refused."""

    async def pre_bind(self, client: Client, pod: Pod, node: str) -> None:
        """Make what the pod needs before it is bound; may take long. ApiError, Unreachable, Refused."""

    async def bind(self, client: Client, pod: Pod, node: str) -> bool:
        """Write the binding and answer True, or leave it to the next plugin. ApiError, Unreachable, Refused."""
        return False

    def post_bind(self, pod: Pod, node: str) -> None:
        """Told of a pod that is bound."""


POINTS: Mapping[str, tuple[str, ...]] = {
    "preEnqueue": ("pre_enqueue",),
    "queueSort": ("queue_key",),
    "preFilter": ("pre_filter",),
    "filter": ("filter",),
    "postFilter": ("post_filter",),
    "preScore": ("pre_score",),
    "score": ("score", "scores"),
    "reserve": ("reserve", "unreserve", "retract"),
    "permit": ("permit",),
    "preBind": ("pre_bind",),
    "bind": ("bind",),
    "postBind": ("post_bind",),
}
"""Extension points as configuration files name them: a plugin takes part that overrides one of these methods."""


def takes_part(plugin: Plugin, point: str) -> bool:
    """Whether a plugin has something to say at an extension point."""
    return any(getattr(type(plugin), method) is not getattr(Plugin, method) for method in POINTS[point])


Points = Mapping[str, tuple[Plugin, ...]]
"""Plugins by extension point, in order."""


@dataclass(frozen=True, eq=False)
class Profile:
    """A scheduler name and its plugins by extension point; `weights` of those that score, by name, 1 where nothing is
    said; `percentage`: of all nodes, so many that fit are enough, 0 for what suits their number."""

    name: str
    points: Points
    weights: Mapping[str, int] = field(default_factory=dict)
    percentage: int = 0

    def at(self, point: str) -> tuple[Plugin, ...]:
        """The plugins of an extension point."""
        return self.points.get(point, ())

    @cached_property
    def scorers(self) -> list[tuple[Plugin, int]]:
        """Plugins that score, with their weights."""
        return [(plugin, self.weights.get(plugin.name, 1)) for plugin in self.at("score")]

    @cached_property
    def plugins(self) -> dict[str, Plugin]:
        """All of them, by name."""
        return {plugin.name: plugin for plugins in self.points.values() for plugin in plugins}


def everywhere(plugins: Iterable[Plugin]) -> Points:
    """Each plugin at every extension point that it takes part in."""
    chosen = tuple(plugins)
    return {point: tuple(p for p in chosen if takes_part(p, point)) for point in POINTS}
