"""Pods that were promised a node whose pods still leave: others of no higher priority must leave them the room."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.scheduler.extract import Pod


class Nominations:
    """Which pods without a node are nominated for which."""

    def __init__(self) -> None:
        self._nodes: dict[str, str] = {}
        self._pods: dict[str, dict[str, Pod]] = {}

    def __bool__(self) -> bool:
        return bool(self._nodes)

    def put(self, pod: Pod, node: str) -> None:
        """Nominate the pod for a node; "" for none."""
        self.drop(pod.uid)
        if node:
            self._nodes[pod.uid] = node
            self._pods.setdefault(node, {})[pod.uid] = pod

    def drop(self, uid: str) -> None:
        """The pod is bound, gone, or nominated no more."""
        node = self._nodes.pop(uid, None)
        if node is not None:
            del self._pods[node][uid]
            if not self._pods[node]:
                del self._pods[node]

    def node_of(self, uid: str) -> str:
        """The node that the pod is nominated for, "" for none."""
        return self._nodes.get(uid, "")

    def at(self, node: str) -> Iterable[Pod]:
        """The pods nominated for a node."""
        return self._pods.get(node, {}).values()

    def before(self, pod: Pod, node: str) -> list[Pod]:
        """Those nominated for the node that come first: others of the same or a higher priority."""
        found = self._pods.get(node)
        if not found:
            return []
        return [other for other in found.values() if other.priority >= pod.priority and other.uid != pod.uid]

    def below(self, pod: Pod, node: str) -> list[Pod]:
        """Those nominated for the node that give way to the pod."""
        return [other for other in self.at(node) if other.priority < pod.priority]
