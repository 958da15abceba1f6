"""The shape of the scheduler: what a plugin may answer, and how a profile strings plugins together.

Extension points keep upstream's names (scheduling framework, KEP 624). A plugin overrides the ones it takes
part in; a profile is ordered tuples of plugins and decides nothing itself. Everything up to Reserve is a pure
function of frozen views and the cluster's counts; only `bind` writes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.client import Client
from controlplane.scheduler.cluster import Cluster, NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.storage import Storage

MAX_SCORE = 100


class Skip(enum.Enum):
    """Answer of pre_filter or pre_score: this plugin has no say in this pod."""

    SKIP = "skip"


SKIP = Skip.SKIP


class Change(enum.Enum):
    """What happened in the cluster that may make a refused pod fit."""

    NODE_ADDED = "NodeAdd"
    NODE_ALLOCATABLE = "NodeAllocatableChange"
    NODE_LABELS = "NodeLabelChange"
    NODE_TAINTS = "NodeTaintChange"
    POD_REMOVED = "AssignedPodDelete"
    POD_PLACED = "AssignedPodAdd"
    POD_UPDATED = "AssignedPodUpdate"
    CLAIM = "PersistentVolumeClaimChange"
    VOLUME = "PersistentVolumeChange"
    STORAGE_CLASS = "StorageClassChange"


@dataclass(frozen=True)
class Rejection:
    """Why a pod may not go to a node. `unresolvable`: removing pods from the node would not help."""

    reason: str
    unresolvable: bool = False


@dataclass(frozen=True)
class Query:
    """What a plugin may look at beside one node."""

    cluster: Cluster
    workloads: Workloads
    storage: Storage = field(default_factory=Storage)


class Workloads:
    """Selectors of the Services and workload controllers a pod belongs to; the default knows none."""

    def selector_of(self, pod: Pod) -> Any:
        """A LabelSelector, or None where nothing selects the pod."""
        return None


class Plugin:
    """Base of all plugins: every extension point with the answer of a plugin that takes no part."""

    name: str = ""
    helped_by: frozenset[Change] = frozenset()

    def pre_enqueue(self, pod: Pod) -> str | None:
        """A reason to keep the pod out of the queue."""
        return None

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """State for `filter`, SKIP, or a Rejection of every node."""
        return None

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        """Why the pod may not go to the node, or None. `state`: what `pre_filter` answered."""
        return None

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """State for `score` or SKIP; `nodes` are those that passed all filters."""
        return None

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """How well the node suits, raw: any scale that `normalize` understands. `state`: `pre_score`'s answer."""
        return 0

    def normalize(self, state: Any, scores: Mapping[str, float]) -> Mapping[str, float]:
        """Raw scores to 0..MAX_SCORE, by node name."""
        return scores

    def reserve(self, pod: Pod, info: NodeInfo) -> None:
        """Take what the pod will use on the node; must be undone by `unreserve`."""

    def unreserve(self, pod: Pod, node: str) -> None:
        """Give it back. Called for a binding that failed and for a pod that went meanwhile, also when `reserve`
        never ran.
        """

    async def pre_bind(self, client: Client, pod: Pod, node: str) -> None:
        """Make what the pod needs before it is bound; may take long. ApiError, Unreachable, NotBound."""

    async def bind(self, client: Client, pod: Pod, node: str) -> bool:
        """Write the binding and answer True, or leave it to the next plugin."""
        return False


def overriding(plugins: Iterable[Plugin], method: str) -> tuple[Plugin, ...]:
    """Those plugins that have an own version of an extension point."""
    return tuple(p for p in plugins if getattr(type(p), method) is not getattr(Plugin, method))


@dataclass(frozen=True)
class Profile:
    """A scheduler name and its plugins, in order; `weights` by plugin name, 1 where nothing is said."""

    name: str
    plugins: tuple[Plugin, ...]
    weights: Mapping[str, int] = field(default_factory=dict)
    gates: tuple[Plugin, ...] = field(init=False)
    filters: tuple[Plugin, ...] = field(init=False)
    scorers: tuple[tuple[Plugin, int], ...] = field(init=False)
    reservers: tuple[Plugin, ...] = field(init=False)
    pre_binders: tuple[Plugin, ...] = field(init=False)
    binders: tuple[Plugin, ...] = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("gates", overriding(self.plugins, "pre_enqueue"))
        put("filters", overriding(self.plugins, "filter"))
        put("scorers", tuple((p, self.weights.get(p.name, 1)) for p in overriding(self.plugins, "score")))
        put("reservers", overriding(self.plugins, "reserve"))
        put("pre_binders", overriding(self.plugins, "pre_bind"))
        put("binders", overriding(self.plugins, "bind"))
