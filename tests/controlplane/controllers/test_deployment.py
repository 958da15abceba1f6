"""The deployment planner, driven through whole rollouts against its invariants."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, copy
from controlplane.controllers import names
from controlplane.controllers.deployment import revisions, sizes
from controlplane.controllers.deployment.plan import Plan, plan
from controlplane.controllers.deployment.status import is_complete
from tests.controlplane.controllers.build import T0, deployment


@dataclass
class World:
    """A Deployment with its ReplicaSets, whose pods come, get ready and go at random."""

    deployment: Obj
    sets: dict[str, Obj] = field(default_factory=dict)
    now: datetime = T0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    events: list[str] = field(default_factory=list)

    def sync(self) -> Plan:
        todo = plan(copy(self.deployment), [copy(s) for s in self.sets.values()], self.old_pods(), self.now)
        changes = ([todo.create] if todo.create else []) + list(todo.updates)
        for change in changes:
            name = change.replica_set["metadata"]["name"]
            stored = copy(change.replica_set)
            stored["metadata"].setdefault("creationTimestamp", f"2026-01-01T00:{len(self.sets):02}:00Z")
            stored["metadata"].setdefault("uid", name)
            stored.setdefault("status", self.sets.get(name, {}).get("status") or {"replicas": 0})
            self.sets[name] = stored
            if change.event:
                self.events.append(change.event.message)
        for replica_set in todo.deletes:
            del self.sets[replica_set["metadata"]["name"]]
        if todo.revision:
            self.deployment["metadata"].setdefault("annotations", {})[names.REVISION] = todo.revision
        if todo.status is not None:
            self.deployment["status"] = todo.status
        return todo

    def old_pods(self) -> bool:
        new = revisions.find_new(self.deployment, list(self.sets.values()))
        return any((s["status"].get("replicas") or 0) > 0 for s in self.sets.values() if s is not new)

    def kubelet(self, everything: bool = False) -> None:
        """Some sets get their pods created, ready or deleted."""
        for replica_set in self.sets.values():
            if not everything and self.rng.random() < 0.4:
                continue
            status, wanted = replica_set["status"], replica_set["spec"]["replicas"]
            status["replicas"] = wanted
            usable = min(status.get("availableReplicas", 0), wanted)
            more = wanted - usable if everything else self.rng.randint(0, wanted - usable)
            status["availableReplicas"] = status["readyReplicas"] = usable + more
        self.now += timedelta(seconds=1)

    def available(self) -> int:
        return sum(s["status"].get("availableReplicas", 0) for s in self.sets.values())

    def settle(self) -> None:
        for _ in range(200):
            self.kubelet(everything=True)
            self.sync()
            if is_complete(self.deployment, self.deployment["status"]):
                return
        raise AssertionError(f"never complete: {self.deployment['status']}")

    def change(self, **spec: Any) -> None:
        image = spec.pop("image", None)
        self.deployment["spec"].update(spec)
        if image:
            self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
        self.deployment["metadata"]["generation"] += 1

    def active(self) -> dict[str, int]:
        return {
            s["spec"]["template"]["spec"]["containers"][0]["image"]: s["spec"]["replicas"]
            for s in self.sets.values()
            if s["spec"]["replicas"]
        }


LIMIT = st.one_of(st.integers(0, 4), st.sampled_from(("0%", "25%", "50%", "100%")))


@settings(max_examples=150)
@given(st.integers(1, 12), LIMIT, LIMIT, st.lists(st.sampled_from("abc"), max_size=4), st.integers(0, 10**6))
def test_rolling_never_leaves_its_limits(
    replicas: int, surge: Any, unavailable: Any, images: list[str], seed: int
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    world = World(deployment(replicas, strategy=strategy), rng=random.Random(seed))
    world.settle()
    extra, missing = sizes.limits(world.deployment)
    for image in images:
        world.change(image=image)
        for _ in range(world.rng.randint(1, 8)):
            before = world.available()
            world.sync()
            total = sum(s["spec"]["replicas"] for s in world.sets.values())
            assert total <= replicas + extra
            # What the plan asks to remove, taken from available pods at worst, must leave the minimum.
            left = sum(min(s["spec"]["replicas"], s["status"].get("availableReplicas", 0)) for s in world.sets.values())
            assert left >= min(before, replicas - missing)
            world.kubelet()
    world.settle()
    assert world.active() == {(images or ["a"])[-1]: replicas}


def test_first_rollout_says_what_upstream_says() -> None:
    world = World(deployment(3))
    todo = world.sync()
    assert todo.create is not None
    created = todo.create.replica_set
    digest = created["metadata"]["labels"]["pod-template-hash"]
    assert created["metadata"]["name"] == f"web-{digest}"
    assert created["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert created["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == digest
    assert created["metadata"]["annotations"] == {
        names.REVISION: "1",
        names.DESIRED_REPLICAS: "3",
        names.MAX_REPLICAS: "4",
    }
    assert created["metadata"]["ownerReferences"][0]["controller"] is True
    assert world.events == [f"Scaled up replica set web-{digest} from 0 to 3"]
    reasons = {c["type"]: c["reason"] for c in world.deployment["status"]["conditions"]}
    assert reasons == {"Available": "MinimumReplicasUnavailable", "Progressing": "NewReplicaSetCreated"}
    world.settle()
    progressing = next(c for c in world.deployment["status"]["conditions"] if c["type"] == "Progressing")
    assert progressing["reason"] == "NewReplicaSetAvailable"
    assert progressing["message"] == f'ReplicaSet "web-{digest}" has successfully progressed.'
    assert world.sync().status is None


def test_undo_reuses_the_set_and_gives_it_a_new_revision() -> None:
    world = World(deployment(2))
    world.settle()
    world.change(image="b")
    world.settle()
    world.change(image="a")
    world.settle()
    first = next(s for s in world.sets.values() if s["spec"]["replicas"])
    assert len(world.sets) == 2
    assert first["metadata"]["annotations"][names.REVISION] == "3"
    assert first["metadata"]["annotations"][names.REVISION_HISTORY] == "1"
    assert world.deployment["metadata"]["annotations"][names.REVISION] == "3"


def test_history_is_limited() -> None:
    world = World(deployment(1, revisionHistoryLimit=2))
    for image in "abcdef":
        world.change(image=image)
        world.settle()
        world.sync()
    kept = sorted(int(s["metadata"]["annotations"][names.REVISION]) for s in world.sets.values())
    assert kept == [4, 5, 6]


def test_recreate_waits_for_the_last_old_pod() -> None:
    world = World(deployment(3, strategy={"type": "Recreate"}))
    world.settle()
    world.change(image="b")
    world.sync()
    assert world.active() == {}
    assert len(world.sets) == 1
    world.sync()
    assert len(world.sets) == 1
    world.kubelet(everything=True)
    world.sync()
    assert world.active() == {"b": 3}


def test_paused_scales_but_does_not_roll() -> None:
    world = World(deployment(2))
    world.settle()
    world.change(image="b", paused=True, replicas=4)
    world.sync()
    world.sync()
    assert world.active() == {"a": 4}
    reasons = {c["type"]: c["reason"] for c in world.deployment["status"]["conditions"]}
    assert reasons["Progressing"] == "DeploymentPaused"
    world.change(paused=False)
    world.sync()
    world.settle()
    assert world.active() == {"b": 4}


def test_scaling_within_a_rollout_is_proportional() -> None:
    world = World(deployment(10, strategy={"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}))
    world.settle()
    world.change(image="bad")
    world.sync()
    world.sync()
    assert world.active() == {"a": 8, "bad": 5}
    world.change(replicas=15)
    world.sync()
    # The documentation's own example of proportional scaling.
    assert world.active() == {"a": 11, "bad": 7}


def test_standing_still_past_the_deadline_is_reported_once_it_is_due() -> None:
    world = World(deployment(1, progressDeadlineSeconds=60))
    world.sync()
    todo = world.sync()
    assert todo.again_in == pytest.approx(60)
    world.now += timedelta(seconds=61)
    world.sync()
    progressing = next(c for c in world.deployment["status"]["conditions"] if c["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert progressing["message"].endswith("has timed out progressing.")


def test_hash_is_stable_and_blind_to_nothing_but_itself() -> None:
    template = deployment()["spec"]["template"]
    digest = revisions.template_hash(template, None)
    labelled = copy(template)
    labelled["metadata"]["labels"]["pod-template-hash"] = digest
    labelled["metadata"]["creationTimestamp"] = None
    assert revisions.template_hash(labelled, None) == digest
    assert revisions.template_hash(template, 1) != digest
    assert set(digest) <= set("bcdfghjklmnpqrstvwxz2456789")
