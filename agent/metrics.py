"""The numbers the agent shows of itself, under the kubelet's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.view import ContainerRef
from apimachinery.kit.metrics import counter, gauge
from apimachinery.objects import Obj

STARTED_PODS = counter("kubelet_started_pods", "Pod sandboxes begun")
STARTED_PODS_ERRORS = counter("kubelet_started_pods_errors", "Pod sandboxes that could not be made")
STARTED_CONTAINERS = counter("kubelet_started_containers", "Starts of containers begun", ("container_type",))
STARTED_CONTAINERS_ERRORS = counter(
    "kubelet_started_containers_errors",
    "Starts of containers that failed, by the reason their status gives",
    ("container_type", "code"),
)
TERMINATED_CONTAINERS = counter(
    "kubelet_terminated_containers", "Ends of containers", ("container_type", "exit_code", "reason")
)
RUNNING_PODS = gauge("kubelet_running_pods", "Pods that have a running sandbox")
RUNNING_CONTAINERS = gauge("kubelet_running_containers", "Containers the runtime knows, by state", ("container_state",))
NODE_NAME = gauge("kubelet_node_name", "The node's name; always 1", ("node",))

_STATUSES = {
    "initContainerStatuses": "init_container",
    "containerStatuses": "container",
    "ephemeralContainerStatuses": "ephemeral_container",
}
_SPECS = {"initContainers": "init_container", "ephemeralContainers": "ephemeral_container"}
_STATES = ("created", "exited", "running", "unknown")


def container_type(pod: Obj, name: str) -> str:
    """What the metrics call a container of this pod."""
    for field, kind in _SPECS.items():
        if any(container["name"] == name for container in pod["spec"].get(field) or ()):
            return kind
    return "container"


def ended(old: Obj, new: Obj) -> Iterator[tuple[str, str, str]]:
    """(container_type, exit_code, reason) of each container that this status is the first to show as ended."""
    for field, kind in _STATUSES.items():
        before = {status["name"] for status in old.get(field) or () if _end(status) is not None}
        for status in new.get(field) or ():
            end = _end(status)
            if end is not None and status["name"] not in before:
                yield kind, str(end.get("exitCode", 0)), end.get("reason", "")


def count_ends(old: Obj, new: Obj) -> None:
    """A pod's status became `new`."""
    for labels in ended(old, new):
        TERMINATED_CONTAINERS.labels(*labels).inc()


def show_running(sandboxes: int, containers: Sequence[ContainerRef]) -> None:
    """What runs at this moment."""
    RUNNING_PODS.set(sandboxes)
    states = [container.state for container in containers]
    for state in _STATES:
        RUNNING_CONTAINERS.labels(state).set(states.count(state))


def _end(status: Obj) -> Obj | None:
    found: Obj | None = (status.get("state") or {}).get("terminated")
    return found
