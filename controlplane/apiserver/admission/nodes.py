"""Nodes: a new one takes no pods before it has spoken, and pods learn the zone and region of theirs."""

from __future__ import annotations

from apimachinery.kinds import NODE, POD, Kind
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
