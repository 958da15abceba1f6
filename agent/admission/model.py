"""What admission is decided from, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent import podspec
from apimachinery.objects import Obj
from apimachinery.pods.ports import HostPort, host_ports
from apimachinery.pods.requests import Amounts, pod_requests


@dataclass(frozen=True)
class Held:
    """A pod that was admitted and is not at its end, and what it holds of the node."""

    pod: Obj
    requests: Amounts
    ports: frozenset[HostPort]

    @classmethod
    def of(cls, pod: Obj) -> Held:
        spec = podspec.spec(pod)
        return cls(pod, pod_requests(spec), frozenset(host_ports(spec)))

    def amount(self, resource: str) -> int:
        return 1 if resource == "pods" else self.requests.get(resource, 0)


@dataclass(frozen=True)
class Refusal:
    """Why a pod may not run here: the status' and the event's reason, and the event's text."""

    reason: str
    message: str


@dataclass(frozen=True)
class NodeFacts:
    """`node`: our own Node, or what it will be registered as. `others`: what every other admitted pod holds.
    `sysctls`: allowed names and prefixes (`net.core.*`). `apparmor_missing`: why the node cannot enforce
    AppArmor profiles, empty where it can."""

    node: Obj
    others: tuple[Held, ...] = ()
    sysctls: tuple[str, ...] = ()
    apparmor_missing: str = ""


@dataclass(frozen=True)
class Decision:
    """`refusal` None: admitted, as soon as the pods in `victims` (uids) are gone."""

    refusal: Refusal | None = None
    victims: tuple[str, ...] = field(default=())
