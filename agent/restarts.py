"""Whether a container that ended runs again: the pod's policy, its own, its rules (KEP-5307, KEP-5532). Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy . Rules are tried in order and
go before the container's policy, which goes before the pod's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent import podspec
from agent.cri.model import Container, PodRecord, State
from apimachinery.objects import Obj

# The status' condition, and the reason of containers that were taken away to start anew.
CONDITION = "AllContainersRestarting"
REASON = "RestartingAllContainers"
MESSAGE = "The container is removed because RestartAllContainers in place"

_RESTART, _RESTART_ALL = "Restart", "RestartAllContainers"


@dataclass(frozen=True)
class Rule:
    """What is done about some exit codes."""

    action: str
    operator: str
    codes: frozenset[int]

    def covers(self, exit_code: int) -> bool:
        listed = exit_code in self.codes
        return (self.operator == "In" and listed) or (self.operator == "NotIn" and not listed)


@dataclass(frozen=True)
class Policy:
    """One container's. `name`: Always | OnFailure | Never."""

    name: str
    rules: tuple[Rule, ...] = ()

    def restarts(self, exit_code: int) -> bool:
        """Whether a container that ended with this code is started again."""
        if self._action(exit_code) in (_RESTART, _RESTART_ALL):
            return True
        return self.name == "Always" or (self.name == "OnFailure" and exit_code != 0)

    def starts_all(self, exit_code: int) -> bool:
        """Whether this end starts all containers of the pod anew."""
        return self._action(exit_code) == _RESTART_ALL

    @property
    def could_start_all(self) -> bool:
        return any(rule.action == _RESTART_ALL for rule in self.rules)

    def _action(self, exit_code: int) -> str:
        return next((rule.action for rule in self.rules if rule.covers(exit_code)), "")


def policy(pod: Obj, container: Obj) -> Policy:
    """The container's policy; rules count only beside a policy of its own."""
    listed = (container.get("restartPolicyRules") or ()) if container.get("restartPolicy") else ()
    return Policy(podspec.restart_policy(pod, container), tuple(_rule(rule) for rule in listed))


def _rule(rule: Obj) -> Rule:
    codes = rule.get("exitCodes") or {}
    return Rule(rule.get("action", ""), codes.get("operator", ""), frozenset(codes.get("values") or ()))


# --- all containers of a pod


@dataclass(frozen=True)
class Restartable:
    """A container by name, and what its end leads to."""

    name: str
    policy: Policy


def restartables(pod: Obj) -> tuple[Restartable, ...]:
    """Of regular and then of init containers: the order in which they are taken away."""
    listed = (*podspec.containers(pod), *podspec.init_containers(pod))
    return tuple(Restartable(container["name"], policy(pod, container)) for container in listed)


def all_could_restart(pod: Obj) -> bool:
    """Whether some container's end may start the whole pod anew, in its place."""
    return any(container.policy.could_start_all for container in restartables(pod))


def all_restart(containers: Iterable[Restartable], record: PodRecord) -> bool:
    """Whether the runtime still holds the end of a container that starts all anew."""
    return any((run := record.newest(c.name)) is not None and _is_cause(c, run) for c in containers)


def reset_order(containers: Sequence[Restartable], record: PodRecord) -> tuple[Container, ...]:
    """Every run of the containers in the order in which they are to be taken away. Those that were the cause go last:
    as long as they are there, an agent that starts in between knows what it has to finish."""
    runs = [(container, run) for container in containers for run in record.containers if run.name == container.name]
    causes = [run for container, run in runs if _is_cause(container, run)]
    return (*(run for container, run in runs if not _is_cause(container, run)), *causes)


def _is_cause(container: Restartable, run: Container) -> bool:
    return run.state is State.EXITED and container.policy.starts_all(run.exit_code)
