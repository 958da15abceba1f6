"""What a pod needs a node to be able to do (KEP-5328, and what this agent does not do yet). Pure."""

from __future__ import annotations

from agent import podspec
from agent.admission.model import NodeFacts, Refusal
from apimachinery.objects import Obj


def check(pod: Obj, facts: NodeFacts) -> Refusal | None:
    declared = (facts.node.get("status") or {}).get("declaredFeatures") or ()
    lacking = [feature for feature in needed(pod) if feature not in declared]
    if lacking:
        text = f"Pod requires node features that are not available: {', '.join(lacking)}"
        return Refusal("PodFeatureUnsupported", text)
    if podspec.spec(pod).get("resourceClaims"):
        # Without its devices the pod would run and be wrong.
        text = "this node allocates no devices: spec.resourceClaims cannot be satisfied"
        return Refusal("UnexpectedAdmissionError", text)
    return None


def needed(pod: Obj) -> list[str]:
    """Upstream's names of the features a pod makes use of, sorted."""
    found = []
    containers = (*podspec.init_containers(pod), *podspec.containers(pod))
    rules = [rule for container in containers for rule in container.get("restartPolicyRules") or ()]
    if any(rule.get("action") == "RestartAllContainers" for rule in rules):
        found.append("RestartAllContainersOnContainerExits")
    if podspec.host_network(pod) and podspec.spec(pod).get("hostUsers") is False:
        found.append("UserNamespacesHostNetworkSupport")
    return found
