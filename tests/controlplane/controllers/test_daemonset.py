"""Where daemons run, how an update goes round, and which revisions are kept."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj, copy
from controlplane.controllers.daemonset import plan as planning
from controlplane.controllers.daemonset import revisions
from controlplane.controllers.daemonset.plan import Fit, fit, plan, pod_template, target, view
from controlplane.scheduler import extract
from tests.controlplane.controllers.build import T0, node, pod


def daemon_set(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ds", "namespace": "default", "uid": "ds", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def daemon(name: str, on: str, digest: str = "new", **parts: Any) -> Obj:
    return pod(name, nodeName=on, labels={"app": "web", planning.REVISION_HASH: digest}, **parts)


NODES = [node("n1"), node("n2"), node("n3")]


@pytest.mark.parametrize(
    ("there", "verdict"),
    [
        (node("n"), Fit(True, True)),
        (node("n", unschedulable=True, taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
         Fit(True, True)),
        (node("n", taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]), Fit(True, True)),
        (node("n", taints=[{"key": "k", "effect": "NoSchedule"}]), Fit(False, True)),
        (node("n", taints=[{"key": "k", "effect": "NoExecute"}]), Fit(False, False)),
    ],
)  # fmt: skip
def test_where_daemons_run(there: Obj, verdict: Fit) -> None:
    assert fit(view(daemon_set()), extract.node(there)) == verdict


def test_a_node_selector_keeps_nodes_out() -> None:
    wanted = daemon_set()
    wanted["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert fit(view(wanted), extract.node(node("n"))) == Fit(False, False)


def test_one_pod_on_every_node_and_nowhere_else() -> None:
    pods = [
        daemon("old", "n1", creationTimestamp="2026-01-01T00:00:00Z"),
        daemon("twin", "n1", creationTimestamp="2026-01-01T00:00:05Z"),
        daemon("failed", "n2", phase="Failed"),
    ]
    todo = plan(daemon_set(), pods, NODES, "new", T0)
    assert todo.create == ("n3",)
    assert {p["metadata"]["name"] for p in todo.delete} == {"twin", "failed"}
    assert [p["metadata"]["name"] for p in todo.failed] == ["failed"]
    assert todo.status["desiredNumberScheduled"] == 3


def test_a_pod_not_bound_yet_counts_for_its_node() -> None:
    template = pod_template(daemon_set(), "n1", "new")
    waiting = {
        "metadata": {"name": "w", "uid": "w", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    assert target(waiting) == "n1"
    assert plan(daemon_set(), [waiting], NODES, "new", T0).create == ("n2", "n3")


def test_update_takes_broken_pods_at_once_and_working_ones_one_by_one() -> None:
    pods = [daemon(f"p{n}", f"n{n}", "old") for n in (1, 2, 3)]
    assert len(plan(daemon_set(), pods, NODES, "new", T0).delete) == 1
    pods[1] = daemon("p2", "n2", "old", is_ready=False)
    assert [p["metadata"]["name"] for p in plan(daemon_set(), pods, NODES, "new", T0).delete] == ["p2"]
    pods[1] = daemon("p2", "n2", "new", is_ready=False)
    assert plan(daemon_set(), pods, NODES, "new", T0).delete == ()
    two = daemon_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "67%"}})
    assert len(plan(two, pods, NODES, "new", T0).delete) == 2
    by_hand = daemon_set(updateStrategy={"type": "OnDelete"})
    assert plan(by_hand, [daemon("p1", "n1", "old")], NODES[:1], "new", T0).delete == ()


def test_revisions_are_found_renewed_and_limited() -> None:
    wanted = daemon_set(revisionHistoryLimit=1)
    kept: list[Obj] = []
    for number, image in enumerate("abc", 1):
        wanted["spec"]["template"]["spec"]["containers"][0]["image"] = image
        made = revisions.plan(wanted, kept, frozenset()).create
        assert made is not None
        assert made["revision"] == number
        kept.append(made)
    assert revisions.plan(wanted, kept, frozenset()).delete == (kept[0],)
    used = frozenset((kept[0]["metadata"]["labels"][planning.REVISION_HASH],))
    assert revisions.plan(wanted, kept, used).delete == ()
    back = copy(wanted)
    back["spec"]["template"]["spec"]["containers"][0]["image"] = "a"
    history = revisions.plan(back, kept, frozenset())
    assert history.create is None
    assert history.renew is not None
    assert history.renew["revision"] == 4
