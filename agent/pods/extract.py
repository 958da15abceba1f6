"""What the planner must know of a pod's specification, as a frozen value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent import podspec, restarts
from agent.containers.container_config import container_hash
from agent.pods.resize import Resize
from agent.restarts import Restartable
from apimachinery.objects import Obj


@dataclass(frozen=True)
class WantedContainer(Restartable):
    """`hash` changes when a running container must be replaced."""

    hash: str
    sidecar: bool = False
    """A restartable init container."""
    awaits_startup: bool = False
    """It has a startup probe, which says when it has come up."""
    resize: Resize | None = None
    """What it is to be held to, where its pod was granted something new."""


@dataclass(frozen=True)
class WantedPod:
    deleting: bool
    host_network: bool
    policy: str
    """Always | OnFailure | Never."""
    containers: tuple[WantedContainer, ...]
    init: tuple[WantedContainer, ...] = ()
    ephemeral: tuple[WantedContainer, ...] = ()

    @property
    def ruled(self) -> tuple[WantedContainer, ...]:
        """Those whose ends may start all anew, in the order in which they are taken away."""
        return (*self.containers, *self.init)

    def init_named(self, name: str) -> WantedContainer:
        return next(container for container in self.init if container.name == name)

    @property
    def resizable(self) -> tuple[WantedContainer, ...]:
        """Those whose resources may change while they run."""
        return (*(container for container in self.init if container.sidecar), *self.containers)


def wanted_pod(pod: Obj, resizes: Mapping[str, Resize] = MappingProxyType({})) -> WantedPod:
    """`resizes`: by container, of a pod that was granted something new."""
    return WantedPod(
        deleting=podspec.deleting(pod),
        host_network=podspec.host_network(pod),
        policy=podspec.restart_policy(pod),
        containers=tuple(_container(pod, c, resizes) for c in podspec.containers(pod)),
        init=tuple(_container(pod, c, resizes) for c in podspec.init_containers(pod)),
        ephemeral=tuple(_container(pod, c, {}) for c in podspec.ephemeral_containers(pod)),
    )


def _container(pod: Obj, container: Obj, resizes: Mapping[str, Resize]) -> WantedContainer:
    return WantedContainer(
        name=container["name"],
        policy=restarts.policy(pod, container),
        hash=container_hash(container),
        sidecar=podspec.is_sidecar(container),
        awaits_startup=bool(container.get("startupProbe")),
        resize=resizes.get(container["name"]),
    )
