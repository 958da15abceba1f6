"""What a pod needs a node to be able to do (KEP-5328). Pure."""

from __future__ import annotations

from agent import podspec
from agent.admission.model import NodeFacts, Refusal
from apimachinery.objects import Obj
from apimachinery.pods.features import needed


def check(pod: Obj, facts: NodeFacts) -> Refusal | None:
    declared = (facts.node.get("status") or {}).get("declaredFeatures") or ()
    lacking = [feature for feature in needed(podspec.spec(pod)) if feature not in declared]
    if lacking:
        text = f"Pod requires node features that are not available: {', '.join(lacking)}"
        return Refusal("PodFeatureUnsupported", text)
    return None
