"""Where daemons run, how an update goes round, and which revisions are kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, copy
from controlplane.controllers.daemonset import backoff, placing, revisions, rolling
from controlplane.controllers.daemonset.placing import Fit, fit, pod_template, target, view
from controlplane.controllers.daemonset.plan import Plan, plan
from controlplane.scheduler import extract
from tests.controlplane.controllers.build import T0, node, pod, ready


def daemon_set(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ds", "namespace": "default", "uid": "ds", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def daemon(name: str, on: str, digest: str = "new", **parts: Any) -> Obj:
    return pod(name, nodeName=on, labels={"app": "web", placing.REVISION_HASH: digest}, **parts)


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
    assert [p["metadata"]["name"] for p in todo.ended] == ["failed"]
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
    used = frozenset((kept[0]["metadata"]["labels"][placing.REVISION_HASH],))
    assert revisions.plan(wanted, kept, used).delete == ()
    back = copy(wanted)
    back["spec"]["template"]["spec"]["containers"][0]["image"] = "a"
    history = revisions.plan(back, kept, frozenset())
    assert history.create is None
    assert history.renew is not None
    assert history.renew["revision"] == 4


def surging(limit: int | str = 1, **spec: Any) -> Obj:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": limit, "maxUnavailable": 0}}
    return daemon_set(updateStrategy=strategy, **spec)


def named(todo: Plan) -> tuple[set[str], set[str]]:
    return set(todo.create), {p["metadata"]["name"] for p in todo.delete}


def test_a_surge_brings_the_new_pod_first() -> None:
    pods = [daemon(f"old{n}", f"n{n}", "old") for n in (1, 2, 3)]
    todo = plan(surging(), pods, NODES, "new", T0)
    assert (len(todo.create), todo.delete) == (1, ())
    assert len(plan(surging("50%"), pods, NODES, "new", T0).create) == 2
    (first,) = todo.create
    # Until it is available nothing else moves; then the old one goes.
    coming = daemon("new", first, "new", is_ready=False, creationTimestamp="2026-01-01T00:00:05Z")
    assert named(plan(surging(), [*pods, coming], NODES, "new", T0)) == (set(), set())
    came = daemon("new", first, "new", creationTimestamp="2026-01-01T00:00:05Z")
    create, delete = named(plan(surging(), [*pods, came], NODES, "new", T0))
    assert delete == {f"old{first[1:]}"} and first not in create
    for each in pods:
        each["status"]["conditions"] = [ready(since="2025-12-31T00:00:00Z")]
    late = plan(surging(minReadySeconds=60), [*pods, came], NODES, "new", T0)
    assert named(late) == (set(), set())


def test_a_surge_replaces_what_does_not_work_at_once() -> None:
    pods = [daemon(f"old{n}", f"n{n}", "old", is_ready=n == 3) for n in (1, 2, 3)]
    # Those that do not work do not count towards the surge.
    assert named(plan(surging(), pods, NODES, "new", T0)) == ({"n1", "n2", "n3"}, set())
    both = [*pods, daemon("new1", "n1", "new", is_ready=False, creationTimestamp="2026-01-01T00:00:05Z")]
    create, delete = named(plan(surging(), both, NODES, "new", T0))
    assert delete == {"old1"}
    assert "n1" not in create


def test_a_surge_where_the_old_pod_is_going_needs_another() -> None:
    going = daemon("old", "n1", "old", deletionTimestamp="2026-01-01T00:00:00Z")
    assert plan(surging(), [going], NODES[:1], "new", T0).create == ("n1",)
    assert plan(daemon_set(), [going], NODES[:1], "new", T0).create == ()


def test_what_works_where_it_no_longer_belongs_goes_once_enough_works_elsewhere() -> None:
    closed = node("n1", taints=[{"key": "k", "effect": "NoSchedule"}])
    astray = daemon("old1", "n1", "old")
    waiting = [astray, daemon("new2", "n2", is_ready=False)]
    assert named(plan(surging(), waiting, [closed, NODES[1]], "new", T0)) == (set(), set())
    works = [astray, daemon("new2", "n2")]
    assert named(plan(surging(), works, [closed, NODES[1]], "new", T0)) == (set(), {"old1"})
    broken = [daemon("old1", "n1", "old", is_ready=False), daemon("new2", "n2", is_ready=False)]
    assert named(plan(surging(), broken, [closed, NODES[1]], "new", T0)) == (set(), {"old1"})


def test_pods_that_ended_go_and_those_that_fail_again_wait() -> None:
    pods = [daemon("a", "n1", phase="Failed"), daemon("b", "n2", phase="Succeeded"), daemon("c", "n3", phase="Failed")]
    todo = plan(daemon_set(), pods, NODES, "new", T0, {"n1": 7.5, "n2": 3.0})
    assert [p["metadata"]["name"] for p in todo.ended] == ["b", "c"]
    assert named(todo) == (set(), {"b", "c"}) and todo.again_in == 7.5
    first = backoff.after(None, 100.0)
    assert first.left(100.2) == pytest.approx(0.8) and first.left(101.0) == 0
    pause = first
    for seconds in (2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        pause = backoff.after(pause, 200.0)
        assert pause.seconds == seconds
    assert backoff.after(pause, 200.0 + 1801).seconds == 1


def test_a_pod_that_waits_for_a_node_that_is_gone_goes() -> None:
    template = pod_template(daemon_set(), "gone", "new")
    meta = {"name": "w", "uid": "w", "labels": template["metadata"]["labels"]}
    waiting = {"metadata": meta, "spec": template["spec"]}
    bound = daemon("b", "gone2")
    assert named(plan(daemon_set(), [waiting, bound], NODES[:1], "new", T0)) == ({"n1"}, {"w"})


def test_the_generation_of_old_clients_counts_as_the_template() -> None:
    wanted = daemon_set()
    wanted["metadata"]["annotations"] = {placing.GENERATION_ANNOTATION: "3"}
    old = daemon("p", "n1", "other")
    old["metadata"]["labels"][placing.TEMPLATE_GENERATION] = "3"
    assert placing.is_updated(wanted, old, "new")
    assert plan(wanted, [old], NODES[:1], "new", T0).delete == ()


STRATEGIES = st.sampled_from([(0, 1), (0, 2), (1, 0), (2, 0), (0, "50%"), ("50%", 0)])
HAPPENS = st.lists(
    st.tuples(st.sampled_from(("step", "ready", "ill", "gone", "update")), st.integers(0, 5)), max_size=60
)


class Cluster:
    """Three nodes and their daemon pods, moved on by one thing at a time."""

    def __init__(self, surge: int | str, missing: int | str) -> None:
        limits = {"maxSurge": surge, "maxUnavailable": missing}
        self.daemon_set = daemon_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": limits})
        self.pods: dict[str, Obj] = {}
        self.digest = "t0"
        self.made = 0

    def alive(self) -> list[Obj]:
        return [p for p in self.pods.values() if "deletionTimestamp" not in p["metadata"]]

    def works(self) -> set[str]:
        return {target(p) for p in self.alive() if p["status"]["conditions"][0]["status"] == "True"}

    def doubled(self, nodes: set[str]) -> set[str]:
        """Which of them have more than one pod."""
        here = [target(p) for p in self.alive()]
        return {where for where in nodes if here.count(where) > 1}

    def step(self) -> Plan:
        todo = plan(self.daemon_set, list(self.pods.values()), NODES, self.digest, T0)
        for pod_there in todo.delete:
            pod_there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        for where in todo.create:
            self.made += 1
            stamp = f"2026-01-01T00:{self.made // 60:02}:{self.made % 60:02}Z"
            name = f"p{self.made}"
            self.pods[name] = daemon(name, where, self.digest, is_ready=False, creationTimestamp=stamp)
        return todo

    def happens(self, what: str, number: int) -> None:
        chosen = sorted(self.pods)[number % len(self.pods)] if self.pods else ""
        if what == "update":
            self.digest = f"t{number}"
        elif what == "gone":
            self.pods = {n: p for n, p in self.pods.items() if "deletionTimestamp" not in p["metadata"]}
        elif what in ("ready", "ill") and chosen:
            self.pods[chosen]["status"]["conditions"][0]["status"] = "True" if what == "ready" else "False"


@settings(max_examples=60, deadline=None)
@given(STRATEGIES, HAPPENS)
def test_an_update_never_takes_away_more_than_it_may_and_ends(limits: tuple[Any, Any], history: list[Any]) -> None:
    cluster = Cluster(*limits)
    extra = rolling.surge(cluster.daemon_set, len(NODES))
    may_miss = 0 if extra else (limits[1] if isinstance(limits[1], int) else 2)
    for what, number in history:
        if what != "step":
            cluster.happens(what, number)
            continue
        before = cluster.works()
        # Of several that are of no use any more the oldest stays, as upstream has it, whichever works.
        hashes = [(target(p), p["metadata"]["labels"][placing.REVISION_HASH]) for p in cluster.alive()]
        outdated = [where for where, digest in hashes if digest != cluster.digest]
        doubled_before = cluster.doubled(before)
        cluster.step()
        lost = {where for where in before - cluster.works() if outdated.count(where) < 2}
        # Nodes that work are given up only as far as others do not miss already.
        assert len(lost) <= max(may_miss - (len(NODES) - len(before)), 0)
        for where in ("n1", "n2", "n3"):
            here = [p for p in cluster.alive() if target(p) == where]
            assert len(here) <= (2 if extra else 1)
        # An update that is taken back meanwhile may find more; it adds none then.
        doubled = cluster.doubled(before)
        assert doubled <= doubled_before or len(doubled) <= max(extra, 0)
    for turn in range(40):
        todo = cluster.step()
        if turn and not todo.create and not todo.delete:
            # Every pod was ready and none was going, so the next would do the same.
            break
        cluster.happens("gone", 0)
        for each in cluster.alive():
            each["status"]["conditions"][0]["status"] = "True"
    assert sorted(target(p) for p in cluster.alive()) == ["n1", "n2", "n3"]
    assert {p["metadata"]["labels"][placing.REVISION_HASH] for p in cluster.alive()} == {cluster.digest}
