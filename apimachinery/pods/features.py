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


def needed_by_change(old: Obj, new: Obj) -> tuple[str, ...]:
    """The features that a node has to have for the change of a PodSpec of a pod that it runs, sorted."""
    found = []
    if (old.get("resources") or {}) != (new.get("resources") or {}):
        found.append("InPlacePodLevelResourcesVerticalScaling")
    pairs = zip(old.get("initContainers") or (), new.get("initContainers") or (), strict=False)
    if any(
        before.get("restartPolicy") != "Always" and (before.get("resources") or {}) != (after.get("resources") or {})
        for before, after in pairs
    ):
        found.append("InPlacePodVerticalScalingInitContainers")
    return tuple(found)
