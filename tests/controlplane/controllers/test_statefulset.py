"""What a StatefulSet makes, replaces and takes away, in which order, and whose its claims are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, copy, is_deleting, labels, name
from controlplane.controllers.statefulset import identity, retention, revisions
from controlplane.controllers.statefulset.plan import Plan, plan
from tests.controlplane.controllers.build import T0
from tests.controlplane.controllers.build import pod as some_pod
from tests.controlplane.controllers.build import ready as condition

NOW = T0 + timedelta(hours=1)
GOING = {"deletionTimestamp": "2026-01-01T00:59:00Z"}


def stateful_set(replicas: int = 3, image: str = "a", status: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default", "uid": "set", "generation": 1},
        "spec": {
            "replicas": replicas,
            "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            **spec,
        },
        "status": status or {},
    }


DATA = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}


class World:
    """Pods, revisions and claims as the API would have them after each plan."""

    def __init__(self, subject: Obj) -> None:
        self.set = subject
        self.revisions: list[Obj] = []
        self.pods: dict[str, Obj] = {}
        self.claims: dict[str, Obj] = {}
        self.born = 0

    def step(self) -> Plan:
        history = revisions.plan(self.set, self.revisions, list(self.pods.values()))
        changes = history.changes
        if changes.create is not None:
            self.revisions.append(changes.create)
        if changes.renew is not None:
            self.revisions = [r for r in self.revisions if name(r) != name(changes.renew)] + [changes.renew]
        gone = {name(r) for r in changes.delete}
        self.revisions = [r for r in self.revisions if name(r) not in gone]
        todo = plan(self.set, list(self.pods.values()), self.claims, history, NOW)
        self.set["status"] = todo.status
        for birth in (*todo.claims, *todo.create):
            self.claims.update({name(c): c for c in birth.claims})
        for birth in todo.create:
            assert name(birth.pod) not in self.pods, "two pods of one ordinal"
            self.born += 1
            made = copy(birth.pod)
            made["metadata"]["uid"] = f"uid-{self.born}"
            made["status"] = {"phase": "Pending"}
            self.pods[name(made)] = made
        for claim in todo.owned:
            self.claims[name(claim)] = claim
        for pod in todo.repair:
            self.pods[name(pod)] = pod
        for pod in todo.delete:
            self.pods[name(pod)]["metadata"] |= GOING
        return todo

    def make_ready(self, pod_name: str) -> None:
        self.pods[pod_name]["status"] = {"phase": "Running", "conditions": [condition()]}

    def settle(self) -> int:
        """Steps until nothing changes, each pod ready at once and gone at once."""
        for count in range(1, 100):
            todo = self.step()
            if not (todo.create or todo.delete or todo.owned or todo.repair):
                return count
            for pod_name, pod in list(self.pods.items()):
                if is_deleting(pod):
                    del self.pods[pod_name]
                elif "conditions" not in pod["status"]:
                    self.make_ready(pod_name)
        raise AssertionError("never at rest")

    def images(self) -> dict[str, str]:
        return {n: p["spec"]["containers"][0]["image"] for n, p in sorted(self.pods.items())}

    def update(self, image: str) -> None:
        self.set["spec"]["template"] = stateful_set(image=image)["spec"]["template"]


def settled(**more: Any) -> World:
    world = World(stateful_set(**more))
    world.settle()
    return world


def names(todo: Plan) -> tuple[list[str], list[str]]:
    return [name(b.pod) for b in todo.create], [name(p) for p in todo.delete]


def test_ordered_pods_come_one_after_the_other() -> None:
    world = World(stateful_set())
    assert names(world.step()) == (["web-0"], [])
    assert names(world.step()) == ([], [])
    world.make_ready("web-0")
    assert names(world.step()) == (["web-1"], [])


def test_parallel_pods_come_at_once() -> None:
    assert names(World(stateful_set(podManagementPolicy="Parallel")).step()) == (["web-0", "web-1", "web-2"], [])


def test_an_ordinal_waits_until_the_one_before_is_available() -> None:
    world = World(stateful_set(minReadySeconds=20))
    world.step()
    world.pods["web-0"]["status"] = {"phase": "Running", "conditions": [condition(since="2026-01-01T00:59:45Z")]}
    todo = world.step()
    assert names(todo) == ([], []) and todo.again_in == 5
    assert (todo.status["readyReplicas"], todo.status["availableReplicas"]) == (1, 0)


def test_a_pod_is_itself() -> None:
    world = World(stateful_set(volumeClaimTemplates=[DATA], ordinals={"start": 5}))
    (birth,) = world.step().create
    pod = birth.pod
    assert (name(pod), pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-5", "web-5", "web")
    assert labels(pod)["statefulset.kubernetes.io/pod-name"] == "web-5"
    assert labels(pod)["apps.kubernetes.io/pod-index"] == "5"
    assert labels(pod)["controller-revision-hash"] == world.set["status"]["updateRevision"]
    assert "generateName" not in pod["metadata"]
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-5"}}]
    (claim,) = birth.claims
    assert (name(claim), labels(claim), claim["spec"]) == ("data-web-5", {"app": "web"}, DATA["spec"])


def test_the_highest_goes_first_and_alone() -> None:
    world = settled()
    world.set["spec"]["replicas"] = 1
    assert names(world.step()) == ([], ["web-2"])
    assert names(world.step()) == ([], [])
    del world.pods["web-2"]
    assert names(world.step()) == ([], ["web-1"])


def test_scaling_down_waits_for_a_broken_pod_but_not_to_take_it_away() -> None:
    world = settled()
    world.set["spec"]["replicas"] = 1
    world.pods["web-1"]["status"]["conditions"] = [condition("False")]
    assert names(world.step()) == ([], ["web-2"])
    other = settled()
    other.set["spec"]["replicas"] = 1
    other.pods["web-2"]["status"]["conditions"] = [condition("False")]
    assert names(other.step()) == ([], ["web-2"])
    both = settled()
    both.set["spec"]["replicas"] = 1
    for broken in ("web-1", "web-2"):
        both.pods[broken]["status"]["conditions"] = [condition("False")]
    assert names(both.step()) == ([], [])


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_is_replaced(phase: str) -> None:
    world = settled()
    world.pods["web-1"]["status"]["phase"] = phase
    assert names(world.step()) == ([], ["web-1"])
    assert names(world.step()) == ([], [])
    del world.pods["web-1"]
    assert names(world.step()) == (["web-1"], [])


def test_an_update_goes_down_from_the_highest() -> None:
    world = settled()
    world.update("b")
    order = []
    for _ in range(12):
        todo = world.step()
        order += [name(p) for p in todo.delete]
        for pod_name in [n for n, p in world.pods.items() if is_deleting(p)]:
            del world.pods[pod_name]
        for pod_name in world.pods:
            world.make_ready(pod_name)
    assert order == ["web-2", "web-1", "web-0"]
    assert set(world.images().values()) == {"b"}
    status = world.set["status"]
    assert status["currentRevision"] == status["updateRevision"] and status["currentReplicas"] == 3


def test_below_the_partition_the_old_template_stays_also_for_new_pods() -> None:
    world = settled()
    world.set["spec"]["updateStrategy"]["rollingUpdate"] = {"partition": 2}
    world.update("b")
    world.settle()
    assert world.images() == {"web-0": "a", "web-1": "a", "web-2": "b"}
    del world.pods["web-0"], world.pods["web-2"]
    world.settle()
    assert world.images() == {"web-0": "a", "web-1": "a", "web-2": "b"}


def test_on_delete_leaves_old_pods_alone() -> None:
    world = settled(updateStrategy={"type": "OnDelete"})
    world.update("b")
    world.settle()
    assert set(world.images().values()) == {"a"}
    del world.pods["web-1"]
    world.settle()
    assert world.images() == {"web-0": "a", "web-1": "b", "web-2": "a"}


@pytest.mark.parametrize(("limit", "first"), [(2, ["web-4", "web-3"]), ("50%", ["web-4", "web-3"]), ("1%", ["web-4"])])
def test_max_unavailable(limit: int | str, first: list[str]) -> None:
    rolling = {"partition": 0, "maxUnavailable": limit}
    world = settled(replicas=5, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    world.update("b")
    assert names(world.step()) == ([], first)
    assert names(world.step()) == ([], [])


def test_history_is_kept_up_to_its_limit_and_an_old_template_returns_under_its_name() -> None:
    world = settled(revisionHistoryLimit=1)
    first = world.set["status"]["updateRevision"]
    for image in ("b", "c", "a"):
        world.update(image)
        world.settle()
        world.step()
    assert world.set["status"]["updateRevision"] == first
    assert len(world.revisions) == 2
    assert max(r["revision"] for r in world.revisions) == 4


def test_a_set_that_goes_touches_nothing() -> None:
    world = settled()
    world.set["metadata"] |= GOING
    world.set["spec"]["replicas"] = 0
    assert names(world.step()) == ([], [])


def test_ordinals_of_names() -> None:
    ordinals = [identity.ordinal(stateful_set(), some_pod(n)) for n in ("web-0", "web-12", "web-x", "other-1", "web")]
    assert ordinals == [0, 12, None, None, None]


SET_OWNER, POD_OWNER = ("StatefulSet", "set"), ("Pod", "uid-web-0")


@pytest.mark.parametrize(
    ("deleted", "scaled", "replicas", "owners"),
    [
        ("Retain", "Retain", 1, []),
        ("Retain", "Retain", 0, []),
        ("Delete", "Retain", 1, [SET_OWNER]),
        ("Delete", "Retain", 0, [SET_OWNER]),
        ("Retain", "Delete", 1, []),
        ("Retain", "Delete", 0, [POD_OWNER]),
        ("Delete", "Delete", 1, [SET_OWNER]),
        ("Delete", "Delete", 0, [POD_OWNER]),
    ],
)
def test_whose_a_claim_is(deleted: str, scaled: str, replicas: int, owners: list[tuple[str, str]]) -> None:
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    subject = stateful_set(replicas, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    claim, pod = identity.claims(subject, 0)[0], some_pod("web-0")
    changed = retention.settled(subject, claim, pod, 0)
    now_owned = changed or claim
    refs = now_owned["metadata"].get("ownerReferences") or []
    assert [(r["kind"], r["uid"]) for r in refs] == owners
    assert (changed is None) == (not owners)
    assert retention.settled(subject, now_owned, pod, 0) is None
    # And back to nobody's, when the policy is taken back.
    subject["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    if owners:
        back = retention.settled(subject, now_owned, pod, 0)
        assert back is not None and back["metadata"]["ownerReferences"] == []


def test_a_foreign_controller_keeps_its_claim() -> None:
    policy = {"whenDeleted": "Delete"}
    subject = stateful_set(volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    claim, pod = identity.claims(subject, 0)[0], some_pod("web-0")
    other = {"kind": "Database", "apiVersion": "x/v1", "name": "db", "uid": "db", "controller": True}
    claim["metadata"]["ownerReferences"] = [other]
    assert retention.conflict(subject, claim, pod)
    assert retention.settled(subject, claim, pod, 0) is None


def test_a_pod_waits_for_its_former_claim_to_go() -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    world = settled(replicas=2, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    world.set["spec"]["replicas"] = 1
    world.settle()
    assert [r["kind"] for r in world.claims["data-web-1"]["metadata"]["ownerReferences"]] == ["Pod"]
    world.set["spec"]["replicas"] = 2
    todo = world.step()
    assert names(todo) == ([], []) and todo.waiting
    del world.claims["data-web-1"]
    world.settle()
    assert sorted(world.pods) == ["web-0", "web-1"]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["step", "ready", "unready", "fail", "gone", "kill", "scale", "image", "start"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.booleans(), st.integers(0, 2))
def test_random_histories(events: list[tuple[str, int]], parallel: bool, several: int) -> None:
    """Two pods of one ordinal are never there (World asserts it), an ordered set never makes or takes more than one at
    a time, an update never goes below what may be missing, and all ends well.
    """
    rolling: Obj = {"partition": 0, **({"maxUnavailable": several} if several else {})}
    policy = "Parallel" if parallel else "OrderedReady"
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    world = World(stateful_set(podManagementPolicy=policy, updateStrategy=strategy, volumeClaimTemplates=[DATA]))
    for event, number in events:
        pod_names = sorted(world.pods)
        chosen = pod_names[number % len(pod_names)] if pod_names else None
        if event == "scale":
            world.set["spec"]["replicas"] = number
        elif event == "start":
            world.set["spec"]["ordinals"] = {"start": number % 3}
        elif event == "image":
            world.update("abc"[number % 3])
        elif event == "step":
            _checked_step(world, several or 1, parallel)
        elif chosen is not None and event == "ready" and not is_deleting(world.pods[chosen]):
            world.make_ready(chosen)
        elif chosen is not None and event == "unready":
            world.pods[chosen]["status"] = {"phase": "Running", "conditions": [condition("False")]}
        elif chosen is not None and event == "fail":
            world.pods[chosen]["status"] = {"phase": "Failed"}
        elif chosen is not None and (event == "kill" or (event == "gone" and is_deleting(world.pods[chosen]))):
            del world.pods[chosen]
    for pod_name, pod in list(world.pods.items()):
        if is_deleting(pod):
            del world.pods[pod_name]
        elif pod["status"]["phase"] != "Failed":
            world.make_ready(pod_name)
    world.settle()
    first, replicas = identity.start(world.set), identity.replicas(world.set)
    assert sorted(world.pods) == sorted(f"web-{n}" for n in range(first, first + replicas))
    image = world.set["spec"]["template"]["spec"]["containers"][0]["image"]
    assert set(world.images().values()) <= {image}


def _checked_step(world: World, several: int, parallel: bool) -> None:
    def usable() -> set[str]:
        return {
            n
            for n, p in world.pods.items()
            if p["status"].get("conditions") == [condition()]
            and not is_deleting(p)
            and identity.in_range(world.set, identity.ordinal(world.set, p) or 0)
        }

    before = usable()
    todo = world.step()
    lost = before - usable()
    if lost:
        assert identity.replicas(world.set) - len(before - lost) <= several
    if not parallel:
        assert len(todo.create) <= 1
        assert len(todo.delete) <= max(several, 1)
