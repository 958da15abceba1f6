"""PodResizeValidator: a running pod grows no larger than its node."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.kinds import NODE, POD, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import parsed, total
from apimachinery.quantity import Quantity
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_OS = "kubernetes.io/os"


class PodResizeValidator(Plugin):
    name = "PodResizeValidator"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is POD and subresource == "resize" and operation == "UPDATE"

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden."""
        pod, old = admission.obj, admission.old
        assert pod is not None and old is not None
        name = pod["spec"].get("nodeName")
        if not name or pod["spec"] == old["spec"]:
            return
        node = self.registry.find(NODE, "", name)
        if node is None:
            raise errors.forbidden("pods", admission.name, f'node "{name}" not found')
        system = (node["metadata"].get("labels") or {}).get(_OS, "linux")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{name}" is "{system}"'
            raise _refusal(admission, why, "UnsupportedPlatform")
        if lacking := list(_beyond(pod["spec"], (node.get("status") or {}).get("allocatable") or {})):
            why = f"node didn't have enough allocatable resources: {'; '.join(lacking)}"
            raise _refusal(admission, why, "NodeCapacity")


def _beyond(spec: Obj, allocatable: Obj) -> Iterator[str]:
    """What a pod asks for beyond all that its node has to give."""
    asked, given = total(spec, "requests", overhead=True), parsed(allocatable)
    nothing = Quantity(0)
    for name in ("cpu", "memory"):
        wanted, there = asked.get(name, nothing), given.get(name, nothing)
        if wanted > there:
            numbers = (wanted.milli(), there.milli()) if name == "cpu" else (wanted.value(), there.value())
            yield "{}, requested: {}, allocatable: {}".format(name, *numbers)


def _refusal(admission: Admission, why: str, reason: str) -> errors.Forbidden:
    error = errors.forbidden("pods", admission.name, why)
    assert error.details is not None
    error.details["causes"] = [{"reason": reason}]
    return error
