"""What a cloud has to be able to do, after upstream's cloudprovider.Interface (InstancesV2, LoadBalancer, Routes).

Nodes and Services are v1 objects, and must not be changed. A provider without a part has None there: the loop that
would need it does not run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apimachinery.objects import Obj, uid


class CloudError(Exception):
    """The cloud refuses or fails; the message is shown to people in an Event."""


class RetryLater(CloudError):
    """As CloudError, and worth another try after `seconds` rather than after the usual pause."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True)
class Instance:
    """What a cloud knows of a node's machine. `addresses` are v1 NodeAddresses."""

    provider_id: str
    addresses: tuple[Mapping[str, str], ...] = ()
    instance_type: str = ""
    zone: str = ""
    region: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class Instances(Protocol):
    """The machines behind nodes. All raise CloudError for a node that is none of this cloud's."""

    async def exists(self, node: Obj) -> bool: ...

    async def is_shut_down(self, node: Obj) -> bool: ...

    async def describe(self, node: Obj) -> Instance | None:
        """None: the cloud has nothing to say of it yet."""


class LoadBalancers(Protocol):
    """Load balancers, each known by its Service's uid (`balancer_name`). All raise CloudError."""

    async def get(self, service: Obj) -> Obj | None:
        """Its v1 LoadBalancerStatus; None: there is none."""

    async def ensure(self, service: Obj, nodes: Sequence[Obj]) -> Obj:
        """Make it, or make it as the Service says now; its v1 LoadBalancerStatus."""

    async def update(self, service: Obj, nodes: Sequence[Obj]) -> None:
        """Other nodes behind it."""

    async def delete(self, service: Obj) -> None:
        """Leave nothing of it, also of one half made; one that is not there is no error."""


@dataclass(frozen=True)
class Route:
    """Packets for `destination` (CIDR) go to `node`; one for a node that is gone leads nowhere (`blackhole`)."""

    destination: str
    node: str
    addresses: tuple[str, ...] = ()
    """the node's internal addresses, as far as the cloud's routes say them"""
    name: str = ""
    blackhole: bool = False


class Routes(Protocol):
    """The cloud's ways to pods. All raise CloudError."""

    async def list(self) -> Sequence[Route]: ...

    async def create(self, route: Route) -> None: ...

    async def delete(self, route: Route) -> None: ...


async def _nothing() -> None:
    return


@dataclass(frozen=True)
class Provider:
    """One cloud. `work` runs as long as this process leads: what the cloud has to do by itself."""

    name: str
    instances: Instances | None = None
    load_balancers: LoadBalancers | None = None
    routes: Routes | None = None
    work: Callable[[], Awaitable[None]] = _nothing


def balancer_name(service: Obj) -> str:
    """The name of a Service's load balancer, unique in a cloud: upstream's default, at most 32 characters."""
    return f"a{uid(service).replace('-', '')}"[:32]
