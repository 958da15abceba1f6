"""What pods, namespaces and policies say, and whose rules differ since somebody last asked.

Informer callbacks come in (plain functions, never blocking); `drain` hands out what differs. A change costs what the
pods cost that it may concern: one pod, a namespace's pods when its labels change, and for a policy the pods of its
namespace and those of groups that nobody named before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from apimachinery.objects import Obj, labels, name, namespace
from netproxy.policy import views
from netproxy.policy.model import Direction, Group, NamedPort, Pod, Policy
from netproxy.policy.plan import Facts


@dataclass(frozen=True)
class Changes:
    """What to write; None for what went away. `ranges`: the node's own, empty while there is no policy."""

    policies: Mapping[str, Policy | None]
    pods: Mapping[str, Facts | None]
    ranges: tuple[str, ...]


class PolicyTracker:
    """One per proxy. `on_change` is called after every callback that may have changed a rule."""

    def __init__(self, node: str, on_change: Callable[[], None], fixed: Iterable[Pod] = ()) -> None:
        """`fixed`: what answers for pods without being one in the API."""
        self._node = node
        self._on_change = on_change
        self._ranges: tuple[str, ...] = ()
        self._pods: dict[str, Pod] = {}
        self._by_namespace: dict[str, set[str]] = defaultdict(set)
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._policies: dict[str, Policy] = {}
        self._policies_in: dict[str, dict[str, Policy]] = defaultdict(dict)
        self._groups: Counter[Group] = Counter()
        self._named: Counter[NamedPort] = Counter()
        self._told: dict[str, tuple[str, ...]] = {}
        self._facts: dict[str, Facts] = {}
        self._dirty: set[str] = set()
        self._changed: set[str] = set()
        for pod in fixed:
            self._set_pod(pod.key, pod)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """By namespace/name."""
        return self._policies

    @property
    def facts(self) -> Mapping[str, Facts]:
        """Of every pod that some rule concerns, as of the last drain."""
        return self._facts

    def pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for Pods."""
        some = new or old
        assert some is not None
        self._set_pod(f"{namespace(some)}/{name(some)}", views.pod(new))

    def told_addresses(self, key: str, ips: tuple[str, ...]) -> None:
        """A pod of this node has these addresses, whether the API shows them yet or not; none: it lost them."""
        if self._told.get(key, ()) == ips:
            return
        if ips:
            self._told[key] = ips
        else:
            del self._told[key]
        self._touch((key,))

    def namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for Namespaces."""
        some = new or old
        assert some is not None
        space = name(some)
        before = self._namespaces.get(space)
        if new is None:
            self._namespaces.pop(space, None)
        else:
            self._namespaces[space] = dict(labels(new))
        if self._namespaces.get(space) != before:
            self._touch(self._by_namespace.get(space, ()))

    def policy_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for NetworkPolicies."""
        some = new or old
        assert some is not None
        space = namespace(some)
        key = f"{space}/{name(some)}"
        before, after = self._policies.get(key), views.policy(new) if new is not None else None
        if before == after:
            return
        some_before = bool(self._policies)
        if after is None:
            del self._policies[key], self._policies_in[space][key]
            if not self._policies_in[space]:
                del self._policies_in[space]
        else:
            self._policies[key] = self._policies_in[space][key] = after
        self._changed.add(key)
        self._count(before, after)
        # Without any policy nobody is judged at all.
        self._touch(self._pods if some_before != bool(self._policies) else self._by_namespace.get(space, ()))

    def ranges_changed(self, ranges: tuple[str, ...]) -> None:
        """Where this node's pods get their addresses."""
        if ranges != self._ranges:
            self._ranges = ranges
            self._on_change()

    def drain(self) -> Changes:
        """What differs since the last time."""
        pods: dict[str, Facts | None] = {}
        for key in self._dirty:
            facts = self._judge(key)
            if facts == self._facts.get(key):
                continue
            pods[key] = facts
            if facts is None:
                del self._facts[key]
            else:
                self._facts[key] = facts
        policies = {key: self._policies.get(key) for key in self._changed}
        self._dirty.clear()
        self._changed.clear()
        return Changes(policies, pods, self.held)

    @property
    def held(self) -> tuple[str, ...]:
        """Ranges in which an address that nobody is known to have is held back: with a policy, any pod may be its."""
        return self._ranges if self._policies else ()

    def _judge(self, key: str) -> Facts | None:
        pod = self._pods.get(key)
        if pod is None or not self._policies:
            return None
        here = bool(self._node) and pod.node == self._node
        if here and key in self._told:
            pod = replace(pod, ips=tuple(sorted({*pod.ips, *self._told[key]})))
        space = self._namespaces.get(pod.namespace)
        groups = frozenset(group for group in self._groups if group.has(pod, space))
        named = frozenset((p, n) for p, n, _ in pod.ports if (p, n) in self._named)
        if not pod.ips or not (here or groups or named):
            return None
        if not here:
            return Facts(pod, here, groups, named)
        mine = [p for p in self._policies_in.get(pod.namespace, {}).values() if p.selects(pod)]
        chosen = (tuple(sorted(p.key for p in mine if p.rules(d) is not None)) for d in Direction)
        return Facts(pod, here, groups, named, *chosen)

    def _set_pod(self, key: str, pod: Pod | None) -> None:
        before = self._pods.get(key)
        if pod == before:
            return
        if pod is not None:
            self._pods[key] = pod
            self._by_namespace[pod.namespace].add(key)
        elif before is not None:
            del self._pods[key]
            self._by_namespace[before.namespace].discard(key)
            if not self._by_namespace[before.namespace]:
                del self._by_namespace[before.namespace]
        self._touch((key,))

    def _count(self, before: Policy | None, after: Policy | None) -> None:
        """Who belongs to a group matters from its first mention to its last."""
        known = set(self._groups), set(self._named)
        for policy, step in ((before, -1), (after, 1)):
            for group in policy.groups if policy else ():
                self._groups[group] += step
            for port in policy.named_ports if policy else ():
                self._named[port] += step
        self._groups, self._named = +self._groups, +self._named
        groups = known[0] ^ set(self._groups)
        named = known[1] ^ set(self._named)
        if groups:
            self._touch(self._in_reach(groups))
        if named:
            self._touch(key for key, pod in self._pods.items() if any((p, n) in named for p, n, _ in pod.ports))

    def _in_reach(self, groups: Collection[Group]) -> Iterable[str]:
        spaces = {group.namespace for group in groups}
        if "" in spaces:
            return self._pods
        return (key for space in spaces for key in self._by_namespace.get(space, ()))

    def _touch(self, keys: Iterable[str]) -> None:
        self._dirty.update(keys)
        self._on_change()
