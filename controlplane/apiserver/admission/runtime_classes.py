"""RuntimeClass: a pod pays the overhead of its runtime and goes where that is."""

from __future__ import annotations

from apimachinery import errors, kinds, quantity
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation


class RuntimeClasses(Plugin):
    name = "RuntimeClass"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind.resource == "pods" and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        """Raises Forbidden."""
        pod = admission.obj
        assert pod is not None
        found = self._class_of(admission, pod["spec"])
        if found is None:
            return
        _overhead(admission.name, pod["spec"], (found.get("overhead") or {}).get("podFixed"))
        _placing(admission.name, pod["spec"], found.get("scheduling") or {})

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden."""
        pod = admission.obj
        if pod is None or not pod["spec"].get("overhead"):
            return
        found = self._class_of(admission, pod["spec"])
        if not ((found or {}).get("overhead") or {}).get("podFixed"):
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise errors.forbidden("pods", admission.name, why)

    def _class_of(self, admission: Admission, spec: Obj) -> Obj | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        found = self.registry.find(kinds.RUNTIME_CLASS, "", name)
        if found is None:
            raise errors.forbidden("pods", admission.name, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _overhead(name: str, spec: Obj, wanted: Obj | None) -> None:
    if not wanted:
        return
    given = spec.get("overhead")
    if given and _amounts(given) != _amounts(wanted):
        why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise errors.forbidden("pods", name, why)
    spec["overhead"] = dict(wanted)


def _amounts(listed: Obj) -> dict[str, quantity.Quantity]:
    return {resource: quantity.parse(amount) for resource, amount in listed.items()}


def _placing(name: str, spec: Obj, rules: Obj) -> None:
    """The class' node selector and tolerations are the pod's as well."""
    chosen = dict(spec.get("nodeSelector") or {})
    for key, value in (rules.get("nodeSelector") or {}).items():
        if chosen.setdefault(key, value) != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {chosen[key]}"
            )
            raise errors.forbidden("pods", name, why)
    if chosen:
        spec["nodeSelector"] = chosen
    borne = list(spec.get("tolerations") or ())
    more = [toleration for toleration in rules.get("tolerations") or () if toleration not in borne]
    if more:
        spec["tolerations"] = borne + more
