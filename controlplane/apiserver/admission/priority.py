"""Priority: a pod's priority and preemption policy follow from its class; there is one default class at most."""

from __future__ import annotations

from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation


class Priority(Plugin):
    """A pod's priority and preemption policy follow from its class, or from the cluster's default class."""

    name = "Priority"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        kinds_of_it = ("pods", kinds.PRIORITY_CLASS.resource)
        return kind.resource in kinds_of_it and not subresource and operation in ("CREATE", "UPDATE")

    def admit(self, admission: Admission) -> None:
        """Raises Forbidden."""
        if admission.kind is not kinds.POD:
            return
        assert admission.obj is not None
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
        policy = found.get("preemptionPolicy") if found else "PreemptLowerPriority"
        if policy is None:
            return
        if spec.get("preemptionPolicy") not in (None, policy):
            text = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
            text += f"pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            raise errors.forbidden("pods", admission.name, text)
        spec["preemptionPolicy"] = policy

    def _class_of(self, admission: Admission, spec: Obj) -> Obj | None:
        name = spec.get("priorityClassName")
        if name:
            found = self.registry.find(kinds.PRIORITY_CLASS, "", name)
            if found is None:
                why = f"no PriorityClass with name {name} was found"
                raise errors.forbidden("pods", admission.name, why)
            return found
        if (default := self._default()) is not None:
            spec["priorityClassName"] = default["metadata"]["name"]
        return default

    def _default(self) -> Obj | None:
        """The class of pods that name none; of several, which only races can leave behind, the lowest."""
        found = [c for c in self.registry.items(kinds.PRIORITY_CLASS) if c.get("globalDefault")]
        return min(found, key=lambda c: c.get("value", 0)) if found else None

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden for a second default class."""
        given = admission.obj or {}
        if admission.kind is not kinds.PRIORITY_CLASS or not given.get("globalDefault"):
            return
        standing = self._default()
        if standing is None or (admission.operation == "UPDATE" and standing["metadata"]["name"] == admission.name):
            return
        why = f"PriorityClass {standing['metadata']['name']} is already marked as default. Only one default can exist"
        raise errors.forbidden(admission.kind.plural, admission.name, why, admission.kind.group)

    def _keep(self, spec: Obj, old: Obj) -> None:
        """An update may leave out what the server computed."""
        for field in ("priority", "preemptionPolicy"):
            if spec.get(field) is None and old.get(field) is not None:
                spec[field] = old[field]
