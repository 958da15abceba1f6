"""TaintNodesByCondition: a node that has said nothing yet takes no pods."""

from __future__ import annotations

from controlplane.apiserver.seam import Admission

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class NotReadyTaint:
    async def admit(self, admission: Admission) -> None:
        node = admission.obj
        if admission.kind.resource != "nodes" or admission.operation != "CREATE" or node is None:
            return
        taints = node["spec"].get("taints") or []
        if not any(taint.get("key") == _NOT_READY["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
            node["spec"]["taints"] = [*taints, dict(_NOT_READY)]
