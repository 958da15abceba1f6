"""Pods, nodes and clusters for scheduler tests, in one line each."""

from __future__ import annotations

from typing import Any

from controlplane.scheduler import extract
from controlplane.scheduler.board import Boards
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import Decision, decide
from controlplane.scheduler.framework import Found, Profile, Query
from controlplane.scheduler.plugins import default_profile
from controlplane.scheduler.plugins.preemption import DefaultPreemption
from controlplane.scheduler.surroundings import Workloads

PROFILE = default_profile()


def node(
    name: str, cpu: str = "4", memory: str = "8Gi", pods: str = "110", labels: dict[str, str] | None = None, **spec: Any
) -> extract.Node:
    return extract.node(
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": spec,
            "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
        }
    )


def pod(
    name: str = "p", requests: dict[str, str] | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> extract.Pod:
    container = {"name": "c", "image": "i", "resources": {"requests": requests or {}}}
    return extract.pod(
        {
            "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels or {}},
            "spec": {"containers": [container], **spec},
        }
    )


def cluster(*nodes: extract.Node) -> Cluster:
    result = Cluster()
    for item in nodes:
        result.set_node(item)
    return result


def run(
    state: Cluster,
    wanted: extract.Pod,
    workloads: Workloads | None = None,
    tie: int = 0,
    profile: Profile = PROFILE,
    query: Query | None = None,
) -> Decision:
    return decide(wanted, profile, query or Query(state, workloads or Workloads()), Boards(), tie)


def preempt(state: Cluster, wanted: extract.Pod, query: Query | None = None) -> Found:
    """What DefaultPreemption makes of a pod that fits nowhere."""
    query = query or Query(state)
    return DefaultPreemption().post_filter(wanted, PROFILE, query, run(state, wanted, query=query))
