"""The binder: tables of what it does with a claim and a volume, and random histories with writes that get lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, copy, is_deleting
from apimachinery.volumes import claims, matching
from controlplane.controllers.volumes.ephemeral import claim_of
from controlplane.controllers.volumes.expansion import is_growing
from controlplane.controllers.volumes.plan import Step, World, plan
from controlplane.controllers.volumes.release import release
from tests.controlplane.controllers.build import pod

BOUND = {"pv.kubernetes.io/bind-completed": "yes"}
OURS = {"pv.kubernetes.io/bound-by-controller": "yes"}
SELECTED = {"volume.kubernetes.io/selected-node": "n"}


def claim(name: str = "c", annotations: dict[str, str] | None = None, phase: str = "Pending", **spec: Any) -> Obj:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations or {}}
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    spec = {k: v for k, v in {**wanted, **spec}.items() if v is not None}
    return {**kind, "metadata": meta, "spec": spec, "status": {"phase": phase}}


def volume(name: str = "v", annotations: dict[str, str] | None = None, phase: str = "Available", **spec: Any) -> Obj:
    given_ = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    meta = {"name": name, "uid": f"uid-{name}", "annotations": annotations or {}}
    kind = {"apiVersion": "v1", "kind": "PersistentVolume"}
    return {
        **kind,
        "metadata": meta,
        "spec": {**given_, "hostPath": {"path": "/v"}, **spec},
        "status": {"phase": phase},
    }


def ref(name: str = "c", uid: str | None = "same") -> Obj:
    found = {"namespace": "default", "name": name}
    return found if uid is None else {**found, "uid": f"uid-{name}" if uid == "same" else uid}


def storage_class(name: str = "slow", mode: str = "Immediate", default: bool = False) -> Obj:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    meta = {"name": name, "annotations": marks, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": meta, "provisioner": "example.com/own", "volumeBindingMode": mode}


def world(*volumes: Obj, classes: tuple[Obj, ...] = (), waiting: tuple[str, ...] = ()) -> World:
    return World({v["metadata"]["name"]: v for v in volumes}, {c["metadata"]["name"]: c for c in classes}, waiting)


def reasons(step: Step) -> list[str]:
    return [note.reason for note in step.notes]


def test_a_claim_and_a_volume_are_bound() -> None:
    step = plan(claim(), world(volume("big", capacity={"storage": "5Gi"}), volume("v")))
    assert step.volume is not None and step.claim is not None
    assert step.volume["spec"]["claimRef"]["uid"] == "uid-c"
    assert step.volume["metadata"]["annotations"] == OURS
    assert step.volume["status"]["phase"] == "Bound"
    assert step.claim["spec"]["volumeName"] == "v"
    assert step.claim["metadata"]["annotations"] == {**BOUND, **OURS}
    assert step.claim["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    # At rest nothing changes any more.
    again = plan(step.claim, world(step.volume))
    assert (again.volume, again.claim, again.notes) == (step.volume, step.claim, ())
    assert release(step.volume, step.claim).volume == step.volume


SUITS = [
    (claim(), volume(capacity={"storage": "1Mi"}), False),
    (claim(), volume(accessModes=["ReadOnlyMany"]), False),
    (claim(accessModes=["ReadWriteOnce", "ReadOnlyMany"]), volume(), False),
    (claim(), volume(accessModes=["ReadWriteOnce", "ReadOnlyMany"]), True),
    (claim(), volume(volumeMode="Block"), False),
    (claim(volumeMode="Block"), volume(volumeMode="Block"), True),
    (claim(), volume(storageClassName="slow"), False),
    (claim(storageClassName="slow"), volume(storageClassName="slow"), True),
    (claim(), volume(phase="Pending"), False),
    (claim(), volume(phase="Released", claimRef=ref("other")), False),
    (claim(), volume(claimRef=ref("c", None)), True),
    (claim(), volume(claimRef=ref("c", "older")), False),
    (claim(selector={"matchLabels": {"a": "b"}}), volume(), False),
    (claim(volumeAttributesClassName="gold"), volume(), False),
]


@pytest.mark.parametrize(("wanted", "there", "suits"), SUITS)
def test_which_volume_suits(wanted: Obj, there: Obj, suits: bool) -> None:
    assert (matching.best(wanted, [there]) is not None) is suits


def test_the_fewest_modes_then_the_smallest_and_the_one_that_is_kept() -> None:
    many = volume("many", accessModes=["ReadWriteOnce", "ReadOnlyMany"])
    big, small = volume("big", capacity={"storage": "9Gi"}), volume("small", capacity={"storage": "2Gi"})
    kept = volume("kept", capacity={"storage": "99Gi"}, claimRef=ref("c", None), storageClassName="other")
    assert matching.best(claim(), [many, big, small]) is small
    assert matching.best(claim(), [many, big, small, kept]) is kept
    assert matching.best(claim(), [many, big, small], kept_only=True) is None


LATE = storage_class("late", "WaitForFirstConsumer")
MISMATCH = 'Cannot bind to requested volume "v": '
EXTERNAL = "Waiting for a volume to be created either by the external provisioner 'example.com/own'"
PENDING = [
    (claim(), world(), "FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
    (
        claim(storageClassName="late"),
        world(volume(storageClassName="late"), classes=(LATE,)),
        "WaitForFirstConsumer",
        "",
    ),
    (
        claim(storageClassName="late"),
        world(classes=(LATE,), waiting=("p",)),
        "WaitForPodScheduled",
        "waiting for pod p to",
    ),
    (claim(storageClassName="late"), world(classes=(LATE,), waiting=("p", "q")), "WaitForPodScheduled", "pods p,q to"),
    (claim(storageClassName="gone"), world(), "ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found'),
    (claim(storageClassName="slow"), world(classes=(storage_class(),)), "ExternalProvisioning", EXTERNAL),
    (claim(annotations=SELECTED, storageClassName="late"), world(classes=(LATE,)), "ExternalProvisioning", EXTERNAL),
    (
        claim(volumeName="v"),
        world(volume(capacity={"storage": "1"})),
        "VolumeMismatch",
        MISMATCH + "requested PV is too small",
    ),
    (
        claim(volumeName="v"),
        world(volume(storageClassName="x")),
        "VolumeMismatch",
        MISMATCH + "storageClassName does not",
    ),
    (claim(volumeName="v"), world(volume(volumeMode="Block")), "VolumeMismatch", MISMATCH + "incompatible volumeMode"),
    (
        claim(volumeName="v"),
        world(volume(accessModes=["ReadOnlyMany"])),
        "VolumeMismatch",
        MISMATCH + "incompatible accessMode",
    ),
    (
        claim(volumeName="v"),
        world(volume(claimRef=ref("o"))),
        "FailedBinding",
        'volume "v" already bound to a different',
    ),
]


@pytest.mark.parametrize(("wanted", "around", "reason", "text"), PENDING)
def test_why_a_claim_waits(wanted: Obj, around: World, reason: str, text: str) -> None:
    step = plan(wanted, around)
    assert step.volume is None
    assert reasons(step) == [reason]
    assert text in step.notes[0].message
    assert step.claim is None or step.claim["status"]["phase"] == "Pending"


def test_the_provisioner_is_told_that_it_is_its_turn() -> None:
    step = plan(claim(storageClassName="slow"), world(classes=(storage_class(),)))
    assert step.claim is not None
    assert step.claim["metadata"]["annotations"] == {
        "volume.kubernetes.io/storage-provisioner": "example.com/own",
        "volume.beta.kubernetes.io/storage-provisioner": "example.com/own",
    }


def test_a_claim_without_a_class_gets_a_later_default() -> None:
    around = world(classes=(storage_class("slow"), storage_class("fast", default=True)))
    step = plan(claim(storageClassName=None), around)
    assert step.claim is not None and step.claim["spec"]["storageClassName"] == "fast"
    assert plan(claim(storageClassName=""), around).notes[0].reason == "FailedBinding"


def bound_claim(**spec: Any) -> Obj:
    return claim(annotations=BOUND, phase="Bound", **{"volumeName": "v", **spec})


LOST = [
    (bound_claim(), world(), "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
    (bound_claim(volumeName=None), world(), "ClaimLost", "has lost reference to PersistentVolume."),
    (bound_claim(), world(volume(claimRef=ref("o"))), "ClaimMisbound", "Two claims are bound to the same volume"),
]


@pytest.mark.parametrize(("wanted", "around", "reason", "text"), LOST)
def test_when_a_claim_is_lost(wanted: Obj, around: World, reason: str, text: str) -> None:
    step = plan(wanted, around)
    assert step.claim is not None and step.claim["status"] == {"phase": "Lost"}
    assert reasons(step) == [reason] and text in step.notes[0].message
    assert reasons(plan(step.claim, around)) == []


def test_a_bound_claim_takes_its_volume_back() -> None:
    step = plan(bound_claim(), world(volume()))
    assert step.volume is not None and step.volume["spec"]["claimRef"]["uid"] == "uid-c"


PROVISIONED = {"pv.kubernetes.io/provisioned-by": "example.com/own"}
RELEASED: list[tuple[Obj, Obj | None, str, list[str]]] = [
    (volume(phase="Pending"), None, "Available", []),
    (volume(phase="Pending", claimRef=ref("c", None)), claim(), "Available", []),
    (volume(phase="Available", claimRef=ref()), bound_claim(), "Bound", []),
    (volume(phase="Bound", claimRef=ref()), None, "Released", []),
    (volume(phase="Bound", claimRef=ref("c", "older")), claim(), "Released", []),
    (volume(phase="Failed", claimRef=ref()), None, "Failed", []),
    (
        volume(phase="Bound", claimRef=ref(), persistentVolumeReclaimPolicy="Delete"),
        None,
        "Failed",
        ["VolumeFailedDelete"],
    ),
    (
        volume(phase="Bound", claimRef=ref(), persistentVolumeReclaimPolicy="Recycle"),
        None,
        "Failed",
        ["VolumeFailedRecycle"],
    ),
    (volume(phase="Bound", claimRef=ref(), volumeMode="Block"), claim(), "Bound", ["VolumeMismatch"] * 2),
    (
        volume(annotations=PROVISIONED, phase="Bound", claimRef=ref(), persistentVolumeReclaimPolicy="Delete"),
        None,
        "Released",
        [],
    ),
    (
        volume(annotations=PROVISIONED, phase="Bound", claimRef=ref(), persistentVolumeReclaimPolicy="Delete"),
        bound_claim(volumeName="other"),
        "Released",
        [],
    ),
    (volume(annotations=OURS, phase="Bound", claimRef=ref()), bound_claim(volumeName="other"), "Available", []),
]


@pytest.mark.parametrize(("there", "bound_to", "phase", "told"), RELEASED)
def test_what_becomes_of_a_volume(there: Obj, bound_to: Obj | None, phase: str, told: list[str]) -> None:
    step = release(there, bound_to)
    after = step.volume or there
    assert after["status"]["phase"] == phase
    assert reasons(step) == told
    assert release(after, bound_to).notes == () or told == ["VolumeMismatch"] * 2


def test_only_what_the_binder_bound_is_unbound() -> None:
    elsewhere = bound_claim(volumeName="other")
    ours = release(volume(annotations=OURS, claimRef=ref()), elsewhere).volume
    theirs = release(volume(claimRef=ref()), elsewhere).volume
    assert ours is not None and "claimRef" not in ours["spec"] and "annotations" not in ours["metadata"]
    assert theirs is not None and theirs["spec"]["claimRef"] == ref("c", None)


def test_an_ephemeral_volumes_claim_is_its_pods() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    owner = pod("p", volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    (use,) = claims.uses(owner)
    made = claim_of(owner, use)
    assert (made["metadata"]["name"], made["metadata"]["labels"]) == ("p-scratch", {"a": "b"})
    assert claims.not_made_for(made, owner) == ""
    text = "PVC default/p-scratch was not created for pod default/p (pod is not owner)"
    assert claims.not_made_for(claim("p-scratch"), owner) == text


@pytest.mark.parametrize(
    ("has", "asks", "growing"), [("1Gi", "2Gi", True), ("2Gi", "2Gi", False), ("1024Mi", "1Gi", False)]
)
def test_which_claim_grows(has: str, asks: str, growing: bool) -> None:
    wanted = bound_claim(resources={"requests": {"storage": asks}})
    wanted["status"]["capacity"] = {"storage": has}
    assert is_growing(wanted, volume(claimRef=ref())) is growing
    assert not is_growing(wanted, volume(claimRef=ref("other")))


class Server:
    """Objects with versions: a write from an older version is refused, as the API server does."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Obj] = {}
        self.clock = 0

    def put(self, obj: Obj) -> None:
        self.clock += 1
        self.stored[obj["kind"], obj["metadata"]["name"]] = copy(obj)
        self.stored[obj["kind"], obj["metadata"]["name"]]["metadata"]["resourceVersion"] = str(self.clock)

    def update(self, wanted: Obj, parts: tuple[str, ...]) -> bool:
        now = self.stored.get((wanted["kind"], wanted["metadata"]["name"]))
        if now is None or now["metadata"]["resourceVersion"] != wanted["metadata"]["resourceVersion"]:
            return False
        self.put({**now, **{part: wanted[part] for part in parts if part in wanted}})
        return True

    def of(self, kind: str) -> list[Obj]:
        return [obj for (found, _), obj in sorted(self.stored.items()) if found == kind]


WHICH = st.integers(0, 2)
LOOK_AT_CLAIM = st.tuples(st.just("look at claim"), WHICH, st.sampled_from((1, 2, 3, 9, 9, 9)))
LOOK_AT_VOLUME = st.tuples(st.just("look at volume"), WHICH, st.sampled_from((1, 9)))
REFRESH = st.tuples(st.just("refresh"), st.just(0), st.just(""))
CHANGES = st.one_of(
    st.tuples(st.just("claim"), WHICH, st.sampled_from(("1Gi", "2Gi"))),
    st.tuples(st.just("volume"), WHICH, st.sampled_from(("1Gi", "3Gi"))),
    st.tuples(st.just("unclaim"), WHICH, st.just("")),
    st.tuples(st.just("free"), WHICH, st.just("")),
)
OPERATIONS = st.one_of(LOOK_AT_CLAIM, LOOK_AT_CLAIM, LOOK_AT_VOLUME, REFRESH, CHANGES)


class Binder:
    """Plans from a cache that is as old as the last refresh, and dies after any of its writes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cache: dict[tuple[str, str], Obj] = {}

    def refresh(self) -> None:
        self.cache = dict(self.server.stored)

    def write(self, step: Step, most: int) -> bool:
        changed = False
        for wanted in (step.volume, step.claim):
            before = self.cache.get((wanted["kind"], wanted["metadata"]["name"])) if wanted else None
            if wanted is None or before is None:
                continue
            for parts in (("metadata", "spec"), ("status",)):
                if any(wanted.get(part) != before.get(part) for part in parts):
                    if most <= 0 or not self.server.update(wanted, parts):
                        return changed
                    most -= 1
                    changed = True
                    now = self.server.stored[wanted["kind"], wanted["metadata"]["name"]]
                    version = now["metadata"]["resourceVersion"]
                    wanted = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
                    before = {**before, "metadata": wanted["metadata"]}
        return changed

    def look_at_claim(self, name: str, most: int) -> bool:
        found = self.cache.get(("PersistentVolumeClaim", name))
        volumes = [obj for (kind, _), obj in self.cache.items() if kind == "PersistentVolume"]
        return found is not None and self.write(plan(found, world(*volumes)), most)

    def look_at_volume(self, name: str, most: int) -> bool:
        found = self.cache.get(("PersistentVolume", name))
        if found is None:
            return False
        # As the loop does: what is missing, or another, is asked of the server itself.
        wanted = found["spec"].get("claimRef") or {}
        return self.write(
            release(found, self.server.stored.get(("PersistentVolumeClaim", wanted.get("name") or ""))), most
        )


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
def test_no_volume_ever_serves_two_claims(history: list[tuple[str, int, Any]]) -> None:
    server = Server()
    binder = Binder(server)
    made = 9
    for number in range(3):
        server.put(claim(f"c{number}"))
        server.put(volume(f"v{number}", capacity={"storage": f"{number + 1}Gi"}))
    binder.refresh()
    for what, number, more in history:
        name = f"{'c' if 'claim' in what else 'v'}{number}"
        key = ("PersistentVolumeClaim" if "claim" in what else "PersistentVolume", name)
        if what == "claim" and key not in server.stored:
            made += 1
            fresh = claim(name, resources={"requests": {"storage": more}})
            fresh["metadata"]["uid"] = f"uid-{made}"
            server.put(fresh)
        elif what == "volume" and key not in server.stored:
            server.put(volume(name, phase="Pending", capacity={"storage": more}))
        elif what == "unclaim":
            server.stored.pop(key, None)
        elif what == "free" and key in server.stored:
            # What an administrator does with a released volume.
            freed = server.stored[key]
            if freed["status"]["phase"] == "Released":
                server.put({**freed, "spec": {k: v for k, v in freed["spec"].items() if k != "claimRef"}})
        elif what == "look at claim":
            binder.look_at_claim(name, more)
        elif what == "look at volume":
            binder.look_at_volume(name, more)
        elif what == "refresh":
            binder.refresh()
        holds(server)
    settle(server, binder)
    holds(server)
    for found in server.of("PersistentVolumeClaim"):
        # Who waits at the end waits because nothing is there for it.
        if found["status"]["phase"] == "Pending":
            assert matching.best(found, server.of("PersistentVolume")) is None
    for found in server.of("PersistentVolume"):
        owner = server.stored.get(("PersistentVolumeClaim", (found["spec"].get("claimRef") or {}).get("name") or ""))
        alive = owner is not None and owner["metadata"]["uid"] == found["spec"]["claimRef"]["uid"]
        assert (found["status"]["phase"] == "Bound") is alive


def settle(server: Server, binder: Binder) -> None:
    for _ in range(60):
        changed = False
        for number in range(3):
            binder.refresh()
            changed |= binder.look_at_volume(f"v{number}", 9)
            binder.refresh()
            changed |= binder.look_at_claim(f"c{number}", 9)
        if not changed:
            return
    raise AssertionError("the binder does not come to rest")


def holds(server: Server) -> None:
    """No two finished bindings lead to one volume, and whoever has one is who the volume is for."""
    done = [c for c in server.of("PersistentVolumeClaim") if claims.is_bound(c) and not is_deleting(c)]
    names = [c["spec"]["volumeName"] for c in done]
    assert len(names) == len(set(names))
    for found in done:
        there = server.stored.get(("PersistentVolume", found["spec"]["volumeName"]))
        assert there is None or there["spec"]["claimRef"]["uid"] == found["metadata"]["uid"]
