"""Steps for pods: the priority their class means, and how long they bear a node that is gone."""

from __future__ import annotations

from apimachinery import errors, kinds
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Obj
from controlplane.apiserver.seam import Admission

_NOT_READY, _UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_SECONDS = 300


class DefaultTolerations:
    """DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable."""

    async def admit(self, admission: Admission) -> None:
        if admission.kind.resource != "pods" or admission.subresource or admission.obj is None:
            return
        if admission.operation not in ("CREATE", "UPDATE"):
            return
        tolerations: list[Obj] = admission.obj["spec"].get("tolerations") or []
        for key in (_NOT_READY, _UNREACHABLE):
            if not any(_covers(toleration, key) for toleration in tolerations):
                tolerations = [
                    *tolerations,
                    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS},
                ]
        admission.obj["spec"]["tolerations"] = tolerations


def _covers(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


class Priority:
    """A pod's priority and preemption policy follow from its class, or from the cluster's default class."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def admit(self, admission: Admission) -> None:
        """Raises Forbidden."""
        if admission.kind.resource != "pods" or admission.subresource or admission.obj is None:
            return
        spec = admission.obj["spec"]
        if admission.operation == "UPDATE":
            self._keep(spec, (admission.old or {}).get("spec") or {})
            return
        found = self._class_of(admission, spec)
        value = found.get("value", 0) if found else 0
        if spec.get("priority") is not None and spec["priority"] != value:
            text = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            text += "priority admission controller computed {value} from the given PriorityClass name"
            raise errors.forbidden("pods", admission.name, text.format(value=value))
        spec["priority"] = value
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("preemptionPolicy") and spec["preemptionPolicy"] != policy:
            text = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
            text += f"pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            raise errors.forbidden("pods", admission.name, text)
        spec["preemptionPolicy"] = policy

    def _class_of(self, admission: Admission, spec: Obj) -> Obj | None:
        name = spec.get("priorityClassName")
        if name:
            found = self._registry.find(kinds.PRIORITY_CLASS, "", name)
            if found is None:
                why = f"no PriorityClass with name {name} was found"
                raise errors.forbidden("pods", admission.name, why)
            return found
        defaults = [c for c in self._registry.items(kinds.PRIORITY_CLASS) if c.get("globalDefault")]
        if not defaults:
            return None
        found = min(defaults, key=lambda c: c.get("value", 0))
        spec["priorityClassName"] = found["metadata"]["name"]
        return found

    def _keep(self, spec: Obj, old: Obj) -> None:
        """An update may leave out what the server computed."""
        for field in ("priority", "preemptionPolicy"):
            if spec.get(field) is None and old.get(field) is not None:
                spec[field] = old[field]
