"""What happens to simulated pods and nodes, and when: a small file, or the stages that pods go through by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit import settings

PHASES = ("Pending", "Running")
OUTCOMES = ("Running", "Succeeded", "Failed", "Gone")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}: {value!r} is not known; use {', '.join(known)}")


def _times(after: float, jitter: float) -> None:
    if after < 0 or jitter < 0:
        raise ValueError("after and jitter: seconds cannot be negative")


@dataclass(frozen=True)
class PodStage:
    """From one state of a pod to the next: the first stage in the file that fits it. Times are seconds."""

    phase: str
    """Pending | Running: in which phase a pod must be"""
    to: str
    """Running | Succeeded | Failed | Gone: what becomes of it"""
    deleting: bool = False
    """fits pods that are to be deleted, instead of those that are not"""
    labels: Mapping[str, str] = field(default_factory=dict)
    """which the pod must have"""
    owner: str = ""
    """the kind of controller that the pod must have (Job); empty: any or none"""
    unless_ready: bool = False
    """fits Running pods that are not Ready alone"""
    after: float = 0.0
    """how long the pod stays as it was"""
    jitter: float = 0.0
    """up to so much longer, at random"""
    ready: bool = True
    """of Running pods: whether they are Ready"""
    reason: str = ""
    """of Failed pods: why"""

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field."""
        _one_of("phase", self.phase, PHASES)
        _one_of("to", self.to, OUTCOMES)
        _times(self.after, self.jitter)


@dataclass(frozen=True)
class NodeStage:
    """A node turns NotReady, or Ready again: `ready` says which, `after` so long in the other state."""

    ready: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    """which the node must have"""
    after: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field."""
        _times(self.after, self.jitter)


DEFAULT_PODS = (
    PodStage("Pending", "Gone", deleting=True),
    PodStage("Running", "Gone", deleting=True, after=0.2),
    PodStage("Pending", "Running", after=0.2, jitter=0.3),
    PodStage("Running", "Succeeded", owner="Job", after=1.0, jitter=1.0),
)


@dataclass(frozen=True)
class Stages:
    """One file."""

    pods: tuple[PodStage, ...] = DEFAULT_PODS
    nodes: tuple[NodeStage, ...] = ()
    cpu: str = "8"
    """what each node has to give"""
    memory: str = "32Gi"
    max_pods: int = 110
    zones: int = 3
    """over how many zones the nodes are spread"""


def load(path: Path | None) -> Stages:
    """The stages that a YAML file says. SettingsError."""
    return settings.load(Stages, path)
