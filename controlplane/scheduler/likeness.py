"""Which nodes are the same to a plugin that looks further than at one node.

Pods of a zone are counted for the zone, so to a constraint over zones all nodes of one are the same; and to one over
hosts, all nodes with as many of the pods. A plugin that tells this is asked about one node of each sort.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.tally import Domains, Tally


@dataclass(frozen=True)
class Likeness:
    """Nodes of which `of` says the same are the same. What it says of a node may change only when its NodeInfo does;
    `question` is equal where `of` means the same.
    """

    question: Hashable
    of: Callable[[NodeInfo], Hashable]


def by_label(key: str) -> Likeness:
    """By the value of a label."""
    return Likeness(("label", key), lambda info: info.node.labels.get(key))


def by_domain(key: str, domains: Domains) -> Likeness:
    """By how many pods are counted for the value of a label. Nodes that share a value change together, so where some
    do it is the value itself that tells them apart.
    """
    if domains.shared:
        return by_label(key)

    def of(info: NodeInfo) -> Hashable:
        value = domains.value(info.node.name)
        return info.node.labels.get(key) if value is None else domains.counts[value]

    return Likeness(("domain", domains.number), of)


def by_pods(key: str, tally: Tally) -> Likeness:
    """By how many pods are counted on the node itself, and whether it has the label."""

    def of(info: NodeInfo) -> Hashable:
        return tally.nodes.get(info.node.name, 0) if key in info.node.labels else None

    return Likeness(("pods", key, tally.number), of)
