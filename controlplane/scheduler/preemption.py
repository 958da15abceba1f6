"""Preemption: when no node has room, find one where removing pods of lower priority makes it
(DefaultPreemption).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kinds import POD
from apimachinery.objects import Obj, uid
from apimachinery.timestamps import format_time, now
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import Decision, refuse
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Profile, Query

NO_VICTIMS = "No preemption victims found for incoming pod"
USELESS = "Preemption is not helpful for scheduling"
# Nodes tried per pod: a tenth of the candidates, at least this many (upstream's minCandidateNodes*).
CANDIDATES = 100


@dataclass(frozen=True)
class Found:
    """Where the pod could go once `victims` are gone, or upstream's message why nowhere."""

    message: str = ""
    node: str = ""
    victims: tuple[Pod, ...] = ()


def plan(pod: Pod, profile: Profile, query: Query, decision: Decision) -> Found:
    """Choose node and victims. The cluster is changed while trying and is as before on return."""
    cluster = query.cluster
    if not cluster.nodes:
        return Found()
    total = len(cluster.nodes)
    if pod.never_preempts:
        return Found("preemption: not eligible due to preemptionPolicy=Never.")
    if decision.everywhere:
        return Found(_message(total, Counter({USELESS: total})))
    if pod.nominated and _leaving(cluster, pod):
        return Found("preemption: not eligible due to terminating pod on the nominated node.")
    reasons: Counter[str] = Counter()
    candidates: list[tuple[str, tuple[Pod, ...]]] = []
    for name, rejection in decision.rejections.items():
        if rejection.unresolvable:
            reasons[USELESS] += 1
            continue
        if len(candidates) >= max(CANDIDATES, total // 10):
            break
        victims = _victims(pod, profile, query, name)
        if victims:
            candidates.append((name, victims))
        else:
            reasons[NO_VICTIMS] += 1
    if not candidates:
        return Found(_message(total, reasons))
    node, chosen = min(candidates, key=lambda candidate: _cost(candidate[1]))
    return Found("", node, chosen)


async def evict(client: Client, recorder: EventRecorder, pods: Informer, preemptor: Pod, found: Found) -> None:
    """Mark and delete the victims, saying for whom. Raises ApiError or Unreachable."""

    async def one(victim: Pod) -> None:
        obj = pods.get(victim.key)
        if obj is None or uid(obj) != victim.uid or victim.deleting:
            return
        try:
            await client.patch(
                POD,
                victim.name,
                _disruption(obj),
                victim.namespace,
                subresource="status",
                patch_type=PatchType.STRATEGIC,
            )
            await client.delete(POD, victim.name, victim.namespace, uid=victim.uid)
        except errors.NotFound:
            return
        text = f"Preempted by pod {preemptor.uid} on node {found.node}"
        recorder.event(obj, "Normal", "Preempted", text)

    await asyncio.gather(*(one(victim) for victim in found.victims))


def _disruption(obj: Obj) -> Obj:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastTransitionTime": format_time(now()),
    }
    return {"metadata": {"uid": uid(obj)}, "status": {"conditions": [condition]}}


def _leaving(cluster: Cluster, pod: Pod) -> bool:
    info = cluster.nodes.get(pod.nominated)
    return info is not None and any(p.deleting and p.priority < pod.priority for p in info.pods.values())


def _victims(pod: Pod, profile: Profile, query: Query, name: str) -> tuple[Pod, ...]:
    """The fewest pods to remove: all of lower priority, less those (the highest first) that may stay after
    all.
    """
    cluster = query.cluster
    lower = [p for p in cluster.nodes[name].pods.values() if p.priority < pod.priority]
    if not lower:
        return ()
    assumed = {p.uid for p in lower if cluster.is_assumed(p.uid)}
    for victim in lower:
        cluster.remove(victim.uid)
    back: list[Pod] = []
    try:
        if not _fits(pod, profile, query, name):
            return ()
        for candidate in sorted(lower, key=lambda p: (-p.priority, p.started or p.created)):
            cluster.place(candidate)
            if _fits(pod, profile, query, name):
                back.append(candidate)
            else:
                cluster.remove(candidate.uid)
    finally:
        for victim in lower:
            if cluster.placed(victim.uid) is None:
                cluster.place(victim)
            if victim.uid in assumed:
                cluster.remove(victim.uid)
                cluster.assume(victim, name)
    return tuple(p for p in lower if p not in back)


def _fits(pod: Pod, profile: Profile, query: Query, name: str) -> bool:
    filters = [(plugin, state) for plugin in profile.filters if (state := plugin.pre_filter(pod, query)) is not SKIP]
    return refuse(pod, tuple(filters), query.cluster.nodes[name]) is None


def _cost(victims: Sequence[Pod]) -> tuple[int, int, int, str]:
    """Lowest highest priority, then lowest sum, then fewest, then the one whose oldest victim is youngest."""
    newest = max(p.started or p.created for p in victims)
    inverted = "".join(chr(0x10FFFF - ord(c)) for c in newest)
    return max(p.priority for p in victims), sum(p.priority for p in victims), len(victims), inverted


def _message(total: int, reasons: Counter[str]) -> str:
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return f"preemption: 0/{total} nodes are available: {listed}."
