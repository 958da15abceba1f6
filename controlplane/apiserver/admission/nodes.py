"""Nodes: a new one takes no pods before it has spoken, pods learn the zone and region of theirs, and change there only
as it can follow."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import NODE, POD, Kind
from apimachinery.pods.features import needed_by_change
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
# What a pod's binding takes over from its node (KEP-4742).
_TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is NODE and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        node = admission.obj
        assert node is not None
        taints = node["spec"].get("taints") or []
        if not any(taint.get("key") == _NOT_READY["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
            node["spec"]["taints"] = [*taints, dict(_NOT_READY)]


class PodTopologyLabels(Plugin):
    """A pod carries the zone and region of its node: by its binding, or from the start when it names its node."""

    name = "PodTopologyLabels"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is POD and subresource in ("", "binding") and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        obj = admission.obj
        assert obj is not None
        target = obj.get("target") or {}
        if admission.subresource:
            name = target.get("name") if target.get("kind") == "Node" else ""
        else:
            name = obj["spec"].get("nodeName")
        node = self.registry.find(NODE, "", name) if name else None
        if node is None:
            return
        found = {key: value for key, value in (node["metadata"].get("labels") or {}).items() if key in _TOPOLOGY}
        if found:
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **found}


class NodeDeclaredFeatureValidator(Plugin):
    """A pod on a node changes only in ways for which the node declares the features (KEP-5328)."""

    name = "NodeDeclaredFeatureValidator"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is POD and subresource in ("", "resize") and operation == "UPDATE"

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden."""
        pod, old = admission.obj, admission.old
        assert pod is not None and old is not None
        name = pod["spec"].get("nodeName")
        needed = needed_by_change(old["spec"], pod["spec"]) if name else ()
        if not needed:
            return
        node = self.registry.find(NODE, "", name)
        if node is None:
            raise errors.forbidden("pods", admission.name, f'node "{name}" not found')
        declared = (node.get("status") or {}).get("declaredFeatures") or ()
        if lacking := [feature for feature in needed if feature not in declared]:
            why = f'pod update requires features {", ".join(lacking)} which are not available on node "{name}"'
            raise errors.forbidden("pods", admission.name, why)
