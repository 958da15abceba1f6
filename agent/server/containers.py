"""Finding the pod and the container a request names, with the errors a kubelet gives.

Pure over the RuntimeView.
"""

from __future__ import annotations

from agent.view import ContainerRef, RuntimeView
from apimachinery.objects import Obj

_STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_SPEC_LISTS = ("containers", "initContainers", "ephemeralContainers")
_PULL_FAILURES = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Refused(Exception):
    """The request cannot be served: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def find_pod(view: RuntimeView, namespace: str, name: str, uid: str = "") -> Obj:
    """The pod, or 404."""
    pod = view.find_pod(namespace, name, uid)
    if pod is None:
        raise Refused(404, "pod does not exist")
    return pod


def running_container(view: RuntimeView, pod: Obj, name: str) -> ContainerRef:
    """The container to run a command in or to attach to."""
    found = view.find_container(pod["metadata"]["uid"], name)
    if found is None or found.state != "running":
        raise Refused(500, f'container not found ("{name}")')
    return found


def logged_container(view: RuntimeView, pod: Obj, name: str, previous: bool) -> ContainerRef:
    """The container whose log is wanted, or why there is none yet."""
    if not any(c.get("name") == name for group in _SPEC_LISTS for c in pod.get("spec", {}).get(group) or []):
        raise Refused(404, "container not found in pod")
    found = view.find_container(pod["metadata"]["uid"], name, previous)
    if found is not None:
        return found
    raise Refused(400, missing_log(pod, name, previous))


def missing_log(pod: Obj, name: str, previous: bool) -> str:
    """Why a container has no log."""
    pod_name = pod["metadata"]["name"]
    if previous:
        return f'previous terminated container "{name}" in pod "{pod_name}" not found'
    head = f'container "{name}" in pod "{pod_name}" is '
    status = container_status(pod, name)
    state = (status or {}).get("state") or {}
    if "waiting" in state:
        reason = state["waiting"].get("reason", "")
        return f"{head}waiting to start: {_PULL_FAILURES.get(reason, reason)}"
    return head + ("terminated" if "terminated" in state else "not available")


def container_status(pod: Obj, name: str) -> Obj | None:
    """The container's entry in the pod's status."""
    for group in _STATUS_LISTS:
        for status in (pod.get("status") or {}).get(group) or []:
            if status.get("name") == name:
                return dict(status)
    return None
