"""Who makes room for a critical pod: as few, as unimportant and as small pods as will do. Pure.

Source: https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/ .
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent import podspec
from agent.admission.model import Held
from apimachinery.objects import Obj
from apimachinery.pods.qos import BEST_EFFORT, BURSTABLE, GUARANTEED, qos_class

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
CONDITION_MESSAGE = "Pod was preempted by Kubelet to accommodate a critical pod."

Needs = Mapping[str, int]
"""Resource name to what is still missing of it."""


class NotEnough(Exception):
    """Even all pods that may be preempted would not make room."""


def victims(pod: Obj, others: Sequence[Held], needs: Needs) -> tuple[str, ...]:
    """Uids of the pods to end, least important first. Raises NotEnough."""
    below = [o for o in others if preemptable(pod, o.pod)]
    classes = {quality: [o for o in below if qos_class(podspec.spec(o.pod)) == quality] for quality in _CLASSES}
    everyone = [o for quality in _CLASSES for o in classes[quality]]
    if lacking := _without(needs, everyone):
        raise NotEnough(f"no set of running pods found to reclaim resources: {_text(lacking)}")
    best_effort, burstable, guaranteed = (classes[quality] for quality in _CLASSES)
    # From the most important down: each class gives only what all the less important ones could not.
    from_guaranteed = _nearest(guaranteed, _without(needs, [*best_effort, *burstable]))
    from_burstable = _nearest(burstable, _without(needs, [*best_effort, *from_guaranteed]))
    from_best_effort = _nearest(best_effort, _without(needs, [*from_burstable, *from_guaranteed]))
    return tuple(podspec.uid(o.pod) for o in (*from_best_effort, *from_burstable, *from_guaranteed))


_CLASSES = (BEST_EFFORT, BURSTABLE, GUARANTEED)


def preemptable(pod: Obj, other: Obj) -> bool:
    """Whether `other` may be ended for `pod`."""
    if podspec.critical(pod) and not podspec.critical(other):
        return True
    priority, held = podspec.spec(pod).get("priority"), podspec.spec(other).get("priority")
    return priority is not None and held is not None and priority > held


def _without(needs: Needs, ended: Sequence[Held]) -> Needs:
    left = {name: amount - sum(pod.amount(name) for pod in ended) for name, amount in needs.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _nearest(pods: Sequence[Held], needs: Needs) -> list[Held]:
    """Pods that together give what is needed, each time the one that leaves least to find, then the smaller."""
    left, taken = list(pods), []
    while needs:
        if not left:
            raise NotEnough(f"no set of running pods found to reclaim resources: {_text(needs)}")
        best = min(left, key=lambda pod: (_distance(pod, needs), pod.amount("memory"), pod.amount("cpu")))
        left.remove(best)
        taken.append(best)
        needs = _without(needs, [best])
    return taken


def _distance(pod: Held, needs: Needs) -> float:
    """How far the pod is from giving everything: each resource counts the same, whatever its unit."""
    return sum((max(0, need - pod.amount(name)) / need) ** 2 for name, need in needs.items())


def _text(needs: Needs) -> str:
    return "[" + "".join(f"(res: {name}, q: {amount}), " for name, amount in needs.items()) + "]"
