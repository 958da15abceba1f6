"""The scheduler's hard predicates, asked once more by the node: operating system, room, placement, host ports, taints.
Pure.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/ ; a critical pod is not refused for want of room:
others go (`preemption`).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent import podspec
from agent.admission import preemption
from agent.admission.model import Decision, NodeFacts, Refusal
from apimachinery.objects import Obj
from apimachinery.objects import Obj as AnyObj
from apimachinery.pods import placement
from apimachinery.pods.ports import conflicts, host_ports
from apimachinery.pods.requests import amounts, is_extended, pod_requests

NODE_AFFINITY = "NodeAffinity"
_OS_LABEL = "kubernetes.io/os"
# Told in this order, whichever is short; others follow by name.
_FIRST = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Shortage:
    """What a resource lacks. Milli-cores for cpu, else whole units."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        return self.requested - (self.capacity - self.used)

    def refusal(self) -> Refusal:
        figures = f"requested: {self.requested}, used: {self.used}, capacity: {self.capacity}"
        return Refusal(f"OutOf{self.resource}", f"Node didn't have enough resource: {self.resource}, {figures}")


def check(pod: Obj, facts: NodeFacts) -> Decision:
    if (refusal := _wrong_system(pod, facts.node)) is not None:
        return Decision(refusal)
    shortages, others = _shortages(pod, facts), _misplaced(pod, facts)
    if not shortages and not others:
        return Decision()
    if not podspec.critical(pod):
        return Decision(shortages[0].refusal() if shortages else others[0])
    if others:
        return Decision(others[0])
    try:
        return Decision(victims=preemption.victims(pod, facts.others, {s.resource: s.missing for s in shortages}))
    except preemption.NotEnough as error:
        text = "Unexpected error while attempting to recover from admission failure: "
        text += f"preemption: error finding a set of pods to preempt: {error}"
        return Decision(Refusal("UnexpectedAdmissionError", text))


def _wrong_system(pod: Obj, node: Obj) -> Refusal | None:
    """What no preemption mends."""
    # The pod's own label, not its selector: so upstream asks.
    if (pod["metadata"].get("labels") or {}).get(_OS_LABEL, "linux") != "linux":
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Refusal("PodOSSelectorNodeLabelDoesNotMatch", text)
    if (podspec.spec(pod).get("os") or {}).get("name", "linux") != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    strict = (podspec.spec(pod).get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict"
    offered = ((node.get("status") or {}).get("features") or {}).get("supplementalGroupsPolicy")
    if strict and not offered:
        text = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Refusal("SupplementalGroupsPolicyNotSupported", text)
    return None


def _shortages(pod: Obj, facts: NodeFacts) -> list[Shortage]:
    offered: AnyObj = (facts.node.get("status") or {}).get("allocatable") or {}
    allocatable = amounts(offered)
    found = []
    if len(facts.others) + 1 > allocatable.get("pods", 0):
        found.append(Shortage("pods", 1, len(facts.others), allocatable.get("pods", 0)))
    wanted = pod_requests(podspec.spec(pod))
    used: dict[str, int] = {}
    for other in facts.others:
        for name, amount in other.requests.items():
            used[name] = used.get(name, 0) + amount
    for name in (*_FIRST, *sorted(wanted.keys() - set(_FIRST))):
        # An extended resource the node has never heard of is counted elsewhere (for the whole cluster).
        if name not in wanted or (is_extended(name) and name not in offered):
            continue
        have = allocatable.get(name, 0)
        if wanted[name] > have - used.get(name, 0):
            found.append(Shortage(name, wanted[name], used.get(name, 0), have))
    return found


def _misplaced(pod: Obj, facts: NodeFacts) -> list[Refusal]:
    spec, meta = podspec.spec(pod), facts.node.get("metadata") or {}
    name, labels = meta.get("name", ""), meta.get("labels") or {}
    found = []
    if not placement.selects(spec.get("nodeSelector") or {}, placement.required_terms(spec), name, labels):
        found.append(_failed(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector"))
    if spec.get("nodeName") not in (None, "", name):
        found.append(_failed("NodeName", "node(s) didn't match the requested node name"))
    taken = frozenset(port for other in facts.others for port in other.ports)
    if conflicts(frozenset(host_ports(spec)), taken):
        found.append(_failed("NodePorts", "node(s) didn't have free ports for the requested pod ports"))
    # A static pod has nowhere else to go.
    evicting = placement.untolerated(placement.tolerations(spec), placement.taints(facts.node), ("NoExecute",))
    if evicting is not None and not podspec.is_static(pod):
        found.append(_failed("TaintToleration", "node(s) had taints that the pod didn't tolerate"))
    return found


def _failed(predicate: str, why: str) -> Refusal:
    return Refusal(predicate, f"Predicate {predicate} failed: {why}")
