"""Keeps each ReplicationController's pods at its number, by the plan of the ReplicaSets."""

from __future__ import annotations

from apimachinery.kinds import REPLICATION_CONTROLLER
from apimachinery.objects import Obj
from apimachinery.selectors import LabelSelector, from_label_selector
from controlplane.controllers.replicaset.controller import ReplicaSetController
from controlplane.controllers.replicaset.plan import Failure


class ReplicationControllerLoop(ReplicaSetController):
    """The loop. No Deployment is above it, and its status does not tell of pods on their way out."""

    kind = REPLICATION_CONTROLLER

    def selector(self, owner: Obj) -> LabelSelector:
        return from_label_selector({"matchLabels": owner["spec"].get("selector") or {}})

    def status(self, owner: Obj, pods: list[Obj], failure: Failure | None) -> tuple[Obj, float | None]:
        status, later = super().status(owner, pods, failure)
        status.pop("terminatingReplicas", None)
        return status, later
