"""What a pod makes use of that a node has to declare (KEP-5328). Pure."""

from __future__ import annotations

from apimachinery.objects import Obj


def needed(spec: Obj) -> tuple[str, ...]:
    """Upstream's names of the features that pods of this PodSpec need a node to have, sorted."""
    found = []
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    rules = [rule for container in containers for rule in container.get("restartPolicyRules") or ()]
    if any(rule.get("action") == "RestartAllContainers" for rule in rules):
        found.append("RestartAllContainersOnContainerExits")
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        found.append("UserNamespacesHostNetworkSupport")
    return tuple(found)
