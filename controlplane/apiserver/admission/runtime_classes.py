"""RuntimeClass: a pod pays the overhead of its runtime and goes where that is."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, kinds, quantity
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.catalog.names import unaskable

_UNLIKE = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


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
        if (rules := found.get("scheduling")) is not None:
            _placing(admission.name, pod["spec"], rules)

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden."""
        pod = admission.obj
        assert pod is not None
        found, given = self._class_of(admission, pod["spec"]), pod["spec"].get("overhead")
        wanted = (found or {}).get("overhead")
        if wanted is not None and _amounts(wanted.get("podFixed")) != _amounts(given):
            raise errors.forbidden("pods", admission.name, _UNLIKE)
        if wanted is None and given is not None:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise errors.forbidden("pods", admission.name, why)

    def _class_of(self, admission: Admission, spec: Obj) -> Obj | None:
        name = spec.get("runtimeClassName")
        if name is None:
            return None
        if why := unaskable(name):
            raise errors.ApiError(why)
        found = self.registry.find(kinds.RUNTIME_CLASS, "", name)
        if found is None:
            raise errors.forbidden("pods", admission.name, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _overhead(name: str, spec: Obj, wanted: Obj | None) -> None:
    if not wanted:
        return
    given = spec.get("overhead")
    if given and _amounts(given) != _amounts(wanted):
        raise errors.forbidden("pods", name, _UNLIKE)
    spec["overhead"] = dict(wanted)


def _amounts(listed: Obj | None) -> dict[str, quantity.Quantity]:
    return {resource: quantity.parse(amount) for resource, amount in (listed or {}).items()}


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
    if borne := merged([*(spec.get("tolerations") or ()), *(rules.get("tolerations") or ())]):
        spec["tolerations"] = borne


def merged(tolerations: list[Obj]) -> list[Obj]:
    """Without those that another one includes; of two that say the same the first stays."""
    kept: list[Obj] = []
    for index, one in enumerate(tolerations):
        wider = (other for other in tolerations[index + 1 :] if _same(other) != _same(one))
        if not any(_includes(other, one) for other in (*kept, *wider)):
            kept.append(one)
    return kept


def _same(toleration: Obj) -> tuple[Any, ...]:
    fields = ("key", "operator", "value", "effect")
    return (*(toleration.get(field) or "" for field in fields), toleration.get("tolerationSeconds"))


def _includes(wide: Obj, narrow: Obj) -> bool:
    """Whether one toleration tolerates whatever another does, at least as long."""
    if _same(wide) == _same(narrow):
        return True
    key, operator, value, effect, seconds = _same(wide)
    its_key, its_operator, its_value, its_effect, its_seconds = _same(narrow)
    if its_key != key and (key or operator != "Exists"):
        return False
    if its_effect != effect and effect:
        return False
    if effect == "NoExecute" and seconds is not None and (its_seconds is None or its_seconds > seconds):
        return False
    if operator == "Exists":
        return True
    return operator in ("", "Equal") and its_operator == "Equal" and its_value == value
