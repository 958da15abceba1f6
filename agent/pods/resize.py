"""A pod's resources while it runs: what the node granted, and what has to change in its containers for it. Pure.

What a pod asks for (its object) and what it is granted may differ for a while: everything that is done for a pod on its
node goes by what it is granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent import podspec
from agent.cri.model import Container, Limits
from agent.host.resources import container_limits
from apimachinery.objects import Obj

RESIZABLE = ("cpu", "memory")
_SIDES = ("requests", "limits")
_LISTS = ("initContainers", "containers")
_STATUSES = {"initContainers": "initContainerStatuses", "containers": "containerStatuses"}
# The pod's own resources, beside those of its containers.
POD = ""

Grant = Mapping[str, Obj | None]
"""`resources` of each container by name, and of the pod itself."""


@dataclass(frozen=True)
class Resize:
    """What a container is to be held to since its pod was granted something new.

    `restart_on`: resources whose change needs a new start; `since`: when it was granted (nanoseconds since the epoch):
    what was made later is right; `before`: what it was held to until then, None where that is not known, so that all is
    taken for changed; `applied`: what the runtime took last, by container id."""

    limits: Limits
    before: Limits | None
    restart_on: frozenset[str]
    since: int
    applied: Mapping[str, Limits] = field(default_factory=dict)

    def changes(self, run: Container | None) -> frozenset[str]:
        """Which resources of a running container are not what they should be."""
        if run is None or not run.running or run.created_at >= self.since or self.applied.get(run.id) == self.limits:
            return frozenset()
        now = self._now(run)
        if now is None:
            return frozenset(RESIZABLE)
        cpu = (now.cpu_shares, now.cpu_quota) != (self.limits.cpu_shares, self.limits.cpu_quota)
        memory = now.memory != self.limits.memory
        return frozenset(name for name, differs in zip(RESIZABLE, (cpu, memory), strict=True) if differs)

    def restarts(self, run: Container | None) -> bool:
        return bool(self.changes(run) & self.restart_on)

    def lowers_memory(self, run: Container) -> bool:
        now = self._now(run)
        lower = now is None or not now.memory or self.limits.memory < now.memory
        return "memory" in self.changes(run) and bool(self.limits.memory) and lower

    def _now(self, run: Container) -> Limits | None:
        return run.limits or self.applied.get(run.id, self.before)


def asked(pod: Obj) -> Grant:
    """What the object says."""
    spec = podspec.spec(pod)
    found: dict[str, Obj | None] = {POD: spec.get("resources")}
    for listed in _LISTS:
        found |= {container["name"]: container.get("resources") for container in spec.get(listed) or ()}
    return found


def granted_pod(pod: Obj, grant: Grant) -> Obj:
    """The pod as the node runs it: the object itself where it asks for nothing else."""
    if all((grant.get(name, resources) or {}) == (resources or {}) for name, resources in asked(pod).items()):
        return pod
    spec = _with(podspec.spec(pod), grant, POD)
    for listed in _LISTS:
        if listed in spec:
            spec[listed] = [_with(container, grant, container["name"]) for container in spec[listed]]
    return {**pod, "spec": spec}


def _with(holder: Obj, grant: Grant, name: str) -> Obj:
    if name not in grant:
        return dict(holder)
    without = {key: value for key, value in holder.items() if key != "resources"}
    return without if grant[name] is None else {**without, "resources": grant[name]}


def remembered(pod: Obj) -> Grant:
    """What an agent before this one granted, as the status of containers that run tells it."""
    found = dict(asked(pod))
    for listed in _LISTS:
        statuses = (pod.get("status") or {}).get(_STATUSES[listed]) or ()
        for status in statuses:
            shown, name = status.get("resources"), status["name"]
            if shown is not None and "running" in (status.get("state") or {}) and name in found:
                found[name] = _merged(found[name] or {}, shown)
    return found


def _merged(wished: Obj, shown: Obj) -> Obj | None:
    """The wish with cpu and memory as they are shown."""
    out = {key: value for key, value in wished.items() if key not in _SIDES}
    for side in _SIDES:
        asked, there = wished.get(side) or {}, shown.get(side) or {}
        amounts = {name: amount for name, amount in asked.items() if name not in RESIZABLE}
        # Memory nobody asked for may be shown as 0.
        amounts |= {n: there[n] for n in RESIZABLE if n in there and (n in asked or there[n] != "0")}
        if amounts:
            out[side] = amounts
    return out or None


def resizes(
    old: Obj | None, new: Obj, since: int, applied: Mapping[str, Limits] = MappingProxyType({})
) -> dict[str, Resize]:
    """By container, of a pod that was granted what `old` said (None: not known) and is granted what `new` says."""
    before = {c["name"]: c for c in (*podspec.init_containers(old or {}), *podspec.containers(old or {}))}
    found = {}
    for container in (*podspec.init_containers(new), *podspec.containers(new)):
        name = container["name"]
        found[name] = Resize(
            container_limits(new, container),
            None if old is None else container_limits(old, before.get(name, container)),
            frozenset(
                policy["resourceName"]
                for policy in container.get("resizePolicy") or ()
                if policy.get("restartPolicy") == "RestartContainer"
            ),
            since,
            applied,
        )
    return found
