"""What extenders make of a decision: fewer nodes, points, other victims."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from apimachinery.informer import Informer
from apimachinery.objects import Obj, uid
from controlplane.scheduler.candidates import Candidate, by_harm, by_importance
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import Decision
from controlplane.scheduler.extenders import Extender
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Found, Rejection
from controlplane.scheduler.queue import ANYTHING
from controlplane.scheduler.refused import Refused

log = logging.getLogger(__name__)


class Asking:
    """The extenders, in the file's order; `pods` and `nodes` hold what is sent to them."""

    def __init__(self, extenders: Sequence[Extender], pods: Informer, nodes: Informer) -> None:
        self._extenders, self._pods, self._nodes = extenders, pods, nodes
        self.preemption = any(extender.settings.preempt_verb for extender in extenders)

    def about(self, pod: Pod) -> list[Extender]:
        """Those that are asked about the pod."""
        obj = self._object(pod) if self._extenders else None
        return [extender for extender in self._extenders if obj is not None and extender.is_interested(obj)]

    async def extend(
        self, pod: Pod, decision: Decision, asked: Sequence[Extender]
    ) -> tuple[Decision, Mapping[str, float]]:
        """The decision with the nodes that all leave, and points by node. Refused by one that is not ignorable."""
        obj = self._object(pod)
        if obj is None:
            raise Refused("pod is gone")
        found = {v.info.node.name: self._nodes.get(v.info.node.name) for v in decision.fits}
        nodes = {name: node for name, node in found.items() if node is not None}
        rejections: dict[str, Rejection] = {}
        for extender in asked:
            if extender.settings.filter_verb and nodes:
                nodes = await _filter(extender, obj, nodes, rejections)
        fits = [verdict for verdict in decision.fits if verdict.info.node.name in nodes]
        # Nobody tells when an extender would change its mind: any change may help.
        by = (ANYTHING,) if len(fits) < len(decision.fits) else ()
        decision = decision.narrowed(fits, rejections, by)
        scoring = [extender for extender in asked if extender.settings.prioritize_verb and len(nodes) > 1]
        points: dict[str, float] = {}
        for answer in await asyncio.gather(*(e.prioritize(obj, nodes) for e in scoring), return_exceptions=True):
            if isinstance(answer, BaseException):
                # As upstream: who does not answer gives no points.
                log.info("no points for %s: %s", pod.key, answer)
                continue
            for name, value in answer.items():
                points[name] = points.get(name, 0) + value
        return decision, points

    async def preempt(self, pod: Pod, found: Found, cluster: Cluster) -> Found:
        """The nodes and the victims as the extenders leave them, or that there are none. Refused."""
        obj = self._object(pod)
        candidates = {each.node: each for each in found.candidates}
        for extender in self._extenders:
            if obj is None or not extender.settings.preempt_verb or not extender.is_interested(obj):
                continue
            try:
                candidates = await self._left(extender, obj, candidates, cluster)
            except Refused as error:
                if not extender.settings.ignorable:
                    raise
                log.warning("going on without an extender: %s", error)
            if not candidates:
                return Found("preemption: no candidate node for preemption")
        return Found(candidates=by_harm(candidates.values()))

    async def _left(
        self, extender: Extender, pod: Obj, candidates: Mapping[str, Candidate], cluster: Cluster
    ) -> dict[str, Candidate]:
        """The candidates that an extender leaves; it may name other pods of a node than it was told. Refused."""
        told = {}
        for each in candidates.values():
            victims = [there for victim in each.victims if (there := self._object(victim)) is not None]
            told[each.node] = (victims, each.violations)
        left = {}
        for node, (uids, violations) in (await extender.preempt(pod, told)).items():
            info = cluster.nodes.get(node)
            missing = [each for each in uids if info is None or each not in info.pods]
            if info is None or missing:
                text = f"claims to preempt pod (UID: {missing[0] if missing else ''}) on node: {node}"
                raise Refused(f"extender: {extender.settings.url_prefix} {text}, but the pod is not found on that node")
            if uids:
                left[node] = Candidate(node, by_importance(info.pods[each] for each in uids), violations)
            elif not extender.settings.ignorable:
                raise Refused(f'expected at least one victim pod on node "{node}"')
        return left

    def _object(self, pod: Pod) -> Obj | None:
        obj = self._pods.get(pod.key)
        return obj if obj is not None and uid(obj) == pod.uid else None


async def _filter(
    extender: Extender, pod: Obj, nodes: Mapping[str, Obj], rejections: dict[str, Rejection]
) -> dict[str, Obj]:
    try:
        left = await extender.filter(pod, nodes)
    except Refused as error:
        if not extender.settings.ignorable:
            raise
        log.warning("going on without an extender: %s", error)
        return dict(nodes)
    rejections.update(left.rejections)
    return {name: nodes[name] for name in left.nodes}
