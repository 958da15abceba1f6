"""Whether a container that ended runs again: the pod's policy, its own, its rules (KEP-5307, KEP-5532). Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy . Rules are tried in order and
go before the container's policy, which goes before the pod's.
"""

from __future__ import annotations

from agent import podspec
from agent.cri.model import Container, PodRecord, State
from apimachinery.objects import Obj

# The status' condition, and the reason of containers that were taken away to start anew.
CONDITION = "AllContainersRestarting"
REASON = "RestartingAllContainers"
MESSAGE = "The container is removed because RestartAllContainers in place"


def rule_for(container: Obj, exit_code: int) -> Obj | None:
    """The first rule that covers the exit code."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if (codes.get("operator") == "In" and listed) or (codes.get("operator") == "NotIn" and not listed):
            return dict(rule)
    return None


def restarts(pod: Obj, container: Obj, exit_code: int) -> bool:
    """Whether a container that ended with this code is started again."""
    rule = rule_for(container, exit_code) if container.get("restartPolicy") else None
    if rule is not None and rule.get("action") in ("Restart", "RestartAllContainers"):
        return True
    policy = podspec.restart_policy(pod, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def all_could_restart(pod: Obj) -> bool:
    """Whether some container's end may start the whole pod anew, in its place."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for container in _ruled(pod)
        for rule in container.get("restartPolicyRules") or ()
    )


def starts_all(container: Obj, exit_code: int) -> bool:
    """Whether this end starts all containers of the pod anew."""
    rule = rule_for(container, exit_code)
    return rule is not None and rule.get("action") == "RestartAllContainers"


def all_restart(pod: Obj, record: PodRecord) -> bool:
    """Whether the runtime still holds the end of a container that starts all anew."""
    ended = ((container, record.newest(container["name"])) for container in _ruled(pod))
    return any(run is not None and _is_cause(container, run) for container, run in ended)


def reset_order(pod: Obj, record: PodRecord) -> tuple[Container, ...]:
    """Every run of the pod's containers in the order in which they are to be taken away. Those that were the cause go
    last: as long as they are there, an agent that starts in between knows what it has to finish."""
    regular, init = podspec.containers(pod), podspec.init_containers(pod)
    found: list[Container] = []
    for causes in (False, True):
        for listed in (regular, init):
            for container in listed:
                runs = (run for run in record.containers if run.name == container["name"])
                found += [run for run in runs if _is_cause(container, run) is causes]
    return tuple(found)


def _is_cause(container: Obj, run: Container) -> bool:
    return run.state is State.EXITED and starts_all(container, run.exit_code)


def _ruled(pod: Obj) -> list[Obj]:
    return [*podspec.init_containers(pod), *podspec.containers(pod)]
