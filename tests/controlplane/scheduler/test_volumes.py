"""Volumes in a decision: which nodes a pod's claims leave it, what is promised, and what becomes of a promise."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.objects import Obj, copy, key
from controlplane.scheduler import extract
from controlplane.scheduler.board import Boards
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import Decision, choose, find
from controlplane.scheduler.framework import SKIP, Plugin, Query
from controlplane.scheduler.plugins import default_profile
from controlplane.scheduler.plugins.preemption import DefaultPreemption
from controlplane.scheduler.plugins.volume_binding import VolumeBinding
from controlplane.scheduler.plugins.volume_limits import NodeVolumeLimits
from controlplane.scheduler.plugins.volume_restrictions import VolumeRestrictions
from controlplane.scheduler.plugins.volume_zone import VolumeZone
from controlplane.scheduler.refused import Refused
from controlplane.scheduler.storage import KINDS, Choice, InformedStorage
from controlplane.scheduler.surroundings import Workloads
from tests.controlplane.controllers.test_volumes import BOUND, claim, storage_class, volume
from tests.controlplane.scheduler.build import cluster, node, pod
from tests.waiting import SECONDS

LATE = storage_class("late", "WaitForFirstConsumer")
STATIC = {**storage_class("static", "WaitForFirstConsumer"), "provisioner": "kubernetes.io/no-provisioner"}


class Server:
    """What an API server answers to the scheduler's writes: the informers hear of them."""

    def __init__(self, *objects: Obj) -> None:
        nobody = cast(Client, None)
        self.informers = {kind.kind: Informer(nobody, kind) for kind in KINDS}
        self.storage = InformedStorage(*self.informers.values())
        self.version = 0
        for obj in (*objects, LATE, STATIC):
            self.put({"kind": "StorageClass", **obj})

    def put(self, obj: Obj) -> Obj:
        self.version += 1
        stored = copy(obj)
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.informers[obj["kind"]]._replace(key(stored), stored)
        return stored

    async def update(self, kind: Any, obj: Obj) -> Obj:
        return self.put(obj)


def user(name: str = "p", *claims: str, **spec: Any) -> extract.Pod:
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims or ("c",)]
    return pod(name, volumes=volumes, **spec)


def on(*names: str) -> Obj:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(names)}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def run(server: Server, wanted: extract.Pod, state: Cluster | None = None) -> Decision:
    profile = default_profile(storage=server.storage)
    query = Query(state or cluster(node("a"), node("b")), Workloads(), server.storage)
    found = find(wanted, profile, query, Boards())
    return choose(wanted, profile, query, found) if found.fits else found


def reasons(decision: Decision) -> dict[str, str]:
    return {name: rejection.reason for name, rejection in decision.rejections.items()}


def bound(name: str = "c", to: str = "v", **more: Any) -> Obj:
    return claim(name, annotations=BOUND, phase="Bound", volumeName=to, **more)


GONE = {"metadata": {**claim()["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
EVERYWHERE = [
    ((), 'persistentvolumeclaim "c" not found'),
    ((claim(),), "pod has unbound immediate PersistentVolumeClaims"),
    ((claim(storageClassName="late", volumeName="v"),), "pod has unbound immediate PersistentVolumeClaims"),
    ((claim(phase="Lost", volumeName="v"),), 'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"'),
    (({**claim(), **GONE},), 'persistentvolumeclaim "c" is being deleted'),
]


@pytest.mark.parametrize(("objects", "text"), EVERYWHERE)
def test_what_keeps_a_pod_from_every_node(objects: tuple[Obj, ...], text: str) -> None:
    found = run(Server(*objects), user())
    assert (found.node, found.everywhere, found.plugins) == ("", text, frozenset(("VolumeBinding",)))


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ((), 'persistentvolumeclaim "c" not found'),
        ((claim(),), "PersistentVolumeClaim had no pv name and storageClass name"),
        ((claim(storageClassName="none"),), 'storageclass.storage.k8s.io "none" not found'),
        (
            (claim(storageClassName="bare"), {"kind": "StorageClass", "metadata": {"name": "bare"}}),
            'VolumeBindingMode not set for StorageClass "bare"',
        ),
        (
            (claim(storageClassName="slow"), {"kind": "StorageClass", **storage_class()}),
            "PersistentVolume had no name",
        ),
        ((claim(storageClassName="late"),), ""),
        ((bound(),), 'persistentvolume "v" not found'),
    ],
)
def test_what_the_zone_of_a_volume_needs_that_is_not_there(objects: tuple[Obj, ...], text: str) -> None:
    answer = VolumeZone().pre_filter(user(), Query(cluster(), storage=Server(*objects).storage))
    assert (answer.reason if text else answer) == (text or SKIP)


def test_only_volumes_that_are_free_or_kept_for_a_claim_are_looked_at_for_it() -> None:
    late: dict[str, Any] = {"storageClassName": "late"}
    others: dict[str, Any] = {"namespace": "default", "name": "other"}
    volumes = [volume("free", **late), volume("kept", claimRef={**others, "name": "c"}), volume("elsewhere")]
    volumes += [volume(f"bound{n}", **late, claimRef={**others, "uid": f"u{n}"}) for n in range(3)]
    server = Server(*volumes)
    assert {v["metadata"]["name"] for v in server.storage.candidates(claim(**late))} == {"free", "kept"}
    # One that is let go comes back.
    server.put(volume("bound1", **late))
    assert {v["metadata"]["name"] for v in server.storage.candidates(claim(**late))} == {"free", "kept", "bound1"}


def test_a_pod_follows_its_volume() -> None:
    server = Server(bound(), volume(nodeAffinity=on("b")))
    found = run(server, user())
    assert found.node == "b"
    assert reasons(found) == {"a": "node(s) didn't match PersistentVolume's node affinity"}
    server = Server(bound())
    assert run(server, user()).everywhere == 'persistentvolume "v" not found'
    plugin = VolumeBinding(server.storage)
    here = plugin.filter(plugin.pre_filter(user(), Query(cluster())), user(), cluster(node("a")).nodes["a"])
    assert here is not None and here.reason.endswith("due to one or more pvc(s) bound to non-existent pv(s)")


def test_a_pod_goes_where_volumes_for_all_its_claims_are() -> None:
    late: dict[str, Any] = {"storageClassName": "static"}
    there = [volume(f"v{n}", nodeAffinity=on(where), **late) for n, where in enumerate("abb")]
    server = Server(claim("one", **late), claim("two", **late), *there)
    found = run(server, user("p", "one", "two"))
    assert found.node == "b"
    assert reasons(found) == {"a": "node(s) didn't find available persistent volumes to bind"}


def test_a_class_that_makes_volumes_makes_them_where_it_may() -> None:
    narrow = {**LATE, "kind": "StorageClass", "metadata": {"name": "narrow"}}
    zones = [{"key": "kubernetes.io/hostname", "values": ["b"]}]
    narrow["allowedTopologies"] = [{"matchLabelExpressions": zones}]
    assert run(Server(claim(storageClassName="narrow"), narrow), user()).node == "b"
    selected = {"volume.kubernetes.io/selected-node": "a"}
    assert run(Server(claim(annotations=selected, storageClassName="late")), user()).node == "a"


def test_a_volume_labelled_with_a_zone_stays_there() -> None:
    labelled = volume()
    labelled["metadata"]["labels"] = {"topology.kubernetes.io/zone": "east__west"}
    state = cluster(*(node(z, labels={"topology.kubernetes.io/zone": z}) for z in ("north", "west")))
    found = run(Server(bound(), labelled), user(), state)
    assert (found.node, reasons(found)) == ("west", {"north": "node(s) had no available volume zone"})


def test_a_claim_for_one_pod_serves_one() -> None:
    server = Server(bound(accessModes=["ReadWriteOncePod"]), volume())
    state = cluster(node("a"), node("b"))
    state.place(extract.Pod(**{**vars(user("other")), "node_name": "a"}))
    text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert set(reasons(run(server, user(), state)).values()) == {text}
    state.remove("uid-other")
    assert run(server, user(), state).node


def test_two_pods_in_a_row_never_get_one_volume() -> None:
    late: dict[str, Any] = {"storageClassName": "static"}
    server = Server(claim("one", **late), claim("two", **late), volume(**late))
    state = cluster(node("a"))
    plugin = VolumeBinding(server.storage)
    assert run(server, user("p", "one"), state).node == "a"
    plugin.reserve(user("p", "one"), state.nodes["a"])
    assert server.storage.promised("default/one") == ("a", "v")
    assert not run(server, user("q", "two"), state).node
    # A second pod of the same claim goes to the same node.
    assert run(server, user("r", "one"), cluster(node("a"), node("b"))).node == "a"
    plugin.unreserve(user("p", "one"), "a")
    assert run(server, user("q", "two"), state).node == "a"


def finished(server: Server, name: str, to: str) -> None:
    """What the binder does."""
    now = server.informers["PersistentVolumeClaim"].get(f"default/{name}")
    assert now is not None
    marks = {**now["metadata"]["annotations"], **BOUND}
    server.put(
        {**now, "metadata": {**now["metadata"], "annotations": marks}, "spec": {**now["spec"], "volumeName": to}}
    )


@pytest.mark.parametrize("made", [True, False])
def test_a_pod_waits_until_its_volumes_are_bound(made: bool) -> None:
    async def scenario() -> None:
        class_name = "late" if made else "static"
        server = Server(claim(storageClassName=class_name), volume(storageClassName="static"))
        choice = Choice("a", provisions=("default/c",)) if made else Choice("a", bindings=(("default/c", "v"),))
        server.storage.promise("uid-p", choice)
        waiting = asyncio.ensure_future(server.storage.bind(cast(Client, server), "uid-p", 600))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        there, asked = (
            server.informers["PersistentVolume"].get("v"),
            server.informers["PersistentVolumeClaim"].get("default/c"),
        )
        assert there is not None and asked is not None
        if made:
            assert asked["metadata"]["annotations"] == {"volume.kubernetes.io/selected-node": "a"}
        else:
            assert there["spec"]["claimRef"]["uid"] == "uid-c"
            assert there["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}
        finished(server, "c", "v")
        await asyncio.wait_for(waiting, SECONDS)
        assert server.storage.promised("default/c") == ("", "")

    asyncio.run(scenario())


def reset_node(server: Server) -> None:
    server.put(claim(storageClassName="late"))


def remove_claim(server: Server) -> None:
    server.informers["PersistentVolumeClaim"]._replace("default/c", None)


def forget_pod(server: Server) -> None:
    server.storage.release("uid-p")


BROKEN = [
    (reset_node, 'provisioning failed for PVC "c"'),
    (remove_claim, "failed to check provisioning pvc: default/c is gone"),
    (forget_pod, "pod does not exist any more"),
]


@pytest.mark.parametrize(("breaks", "text"), BROKEN)
def test_why_a_pod_waits_no_longer(breaks: Any, text: str) -> None:
    async def scenario() -> None:
        server = Server(claim(storageClassName="late"))
        server.storage.promise("uid-p", Choice("a", provisions=("default/c",)))
        waiting = asyncio.ensure_future(server.storage.bind(cast(Client, server), "uid-p", 600))
        for _ in range(5):
            await asyncio.sleep(0)
        breaks(server)
        with pytest.raises(Refused, match=text):
            await asyncio.wait_for(waiting, SECONDS)

    asyncio.run(scenario())


CSI = {"kind": "CSIDriver", "metadata": {"name": "example.com"}, "spec": {"storageCapacity": True}}
MADE = {**LATE, "kind": "StorageClass", "metadata": {"name": "made"}, "provisioner": "example.com"}


def capacity(where: str, size: str, **more: str) -> Obj:
    topology = {"matchLabels": {"kubernetes.io/hostname": where}}
    told = {"storageClassName": "made", "nodeTopology": topology, "capacity": size, **more}
    return {"kind": "CSIStorageCapacity", "metadata": {"name": f"on-{where}", "namespace": "x"}, **told}


def test_a_driver_that_tells_its_capacity_is_believed() -> None:
    roomy = (capacity("a", "1Mi"), capacity("b", "100Gi"))
    found = run(Server(claim(storageClassName="made"), MADE, CSI, *roomy), user())
    assert (found.node, reasons(found)) == ("b", {"a": "node(s) did not have enough free storage"})
    largest = (capacity("a", "100Gi", maximumVolumeSize="1Mi"), capacity("b", "1Mi", maximumVolumeSize="100Gi"))
    assert run(Server(claim(storageClassName="made"), MADE, CSI, *largest), user()).node == "b"
    # One that tells nothing is not asked.
    silent = {**CSI, "spec": {}}
    assert run(Server(claim(storageClassName="made"), MADE, silent), user()).node


def csi_node(count: int) -> Obj:
    return {"metadata": {"name": "a"}, "spec": {"drivers": [{"name": "d", "allocatable": {"count": count}}]}}


STORE, NO_STORE = {"spec": {"storageCapacity": True}}, {"spec": {"storageCapacity": False}}
ZONED = {"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}}
BINDING, LIMITS = VolumeBinding(Server().storage), NodeVolumeLimits(Server().storage)
HINTS: list[tuple[Plugin, Change, Obj | None, Obj | None, bool]] = [
    *((plugin, Change.CLAIM, None, claim(), True) for plugin in (BINDING, LIMITS, VolumeZone(), VolumeRestrictions())),
    *((plugin, Change.CLAIM, None, claim("x"), False) for plugin in (BINDING, LIMITS, VolumeZone())),
    *((plugin, Change.CLAIM, claim(), None, False) for plugin in (BINDING, LIMITS, VolumeZone())),
    *((plugin, Change.CLAIM, claim(), bound(), True) for plugin in (BINDING, LIMITS, VolumeZone())),
    (VolumeRestrictions(), Change.CLAIM, claim(), bound(), False),
    (BINDING, Change.VOLUME, None, volume(), True),
    (BINDING, Change.VOLUME, volume(), None, False),
    (BINDING, Change.STORAGE_CLASS, None, LATE, True),
    (BINDING, Change.STORAGE_CLASS, LATE, {**LATE, "reclaimPolicy": "Retain"}, False),
    (BINDING, Change.STORAGE_CLASS, LATE, {**LATE, "allowedTopologies": [{}]}, True),
    (BINDING, Change.CSI_DRIVER, STORE, NO_STORE, True),
    (BINDING, Change.CSI_DRIVER, NO_STORE, STORE, False),
    (BINDING, Change.CAPACITY, None, capacity("a", "1Gi"), True),
    (BINDING, Change.CAPACITY, capacity("a", "1Gi"), capacity("a", "2Gi"), True),
    (BINDING, Change.CAPACITY, capacity("a", "2Gi"), capacity("a", "1Gi"), False),
    (BINDING, Change.CAPACITY, {}, capacity("a", "0"), True),
    (BINDING, Change.CSI_NODE, None, csi_node(1), True),
    (BINDING, Change.CSI_NODE, csi_node(1), csi_node(2), False),
    (LIMITS, Change.CSI_NODE, csi_node(1), csi_node(2), True),
    (LIMITS, Change.CSI_NODE, csi_node(2), csi_node(1), False),
    (LIMITS, Change.ATTACHMENT, {}, None, True),
    (LIMITS, Change.ATTACHMENT, None, {}, False),
    (VolumeZone(), Change.STORAGE_CLASS, None, LATE, True),
    (VolumeZone(), Change.STORAGE_CLASS, None, storage_class(), False),
    (VolumeZone(), Change.STORAGE_CLASS, LATE, {**LATE}, False),
    (VolumeZone(), Change.VOLUME, volume(), {**volume(), **ZONED}, True),
    (VolumeZone(), Change.VOLUME, volume(), volume(phase="Bound"), False),
]


@pytest.mark.parametrize(("plugin", "change", "was", "now", "helps"), HINTS)
def test_what_of_volumes_may_help_a_refused_pod(
    plugin: Plugin, change: Change, was: Obj | None, now: Obj | None, helps: bool
) -> None:
    assert change in plugin.helped_by
    assert plugin.may_help(user(), Event(change, was=was, now=now)) == helps


def of_driver(which: str) -> Obj:
    made = volume(which)
    made["spec"]["csi"] = {"driver": "example.com", "volumeHandle": which}
    return made


def test_a_node_takes_no_more_volumes_than_its_driver_says() -> None:
    drivers = [{"name": "example.com", "nodeID": "a", "allocatable": {"count": 1}}]
    node_of = {"kind": "CSINode", "metadata": {"name": "a"}, "spec": {"drivers": drivers}}
    there = [bound("one", "v1"), of_driver("v1"), bound("two", "v2"), of_driver("v2"), claim(storageClassName="made")]
    server = Server(*there, MADE, CSI, node_of, capacity("a", "9Gi"))
    state = cluster(node("a"))
    state.place(extract.Pod(**{**vars(user("other", "one")), "node_name": "a"}))
    assert set(reasons(run(server, user("p", "two"), state)).values()) == {"node(s) exceed max volume count"}
    # The same volume for another pod is no further one; a claim that waits is.
    assert run(server, user("p", "one"), state).node == "a"
    assert set(reasons(run(server, user("p", "c"), state)).values()) == {"node(s) exceed max volume count"}
    server.put({**node_of, "spec": {"drivers": [{**drivers[0], "allocatable": {"count": 2}}]}})
    assert run(server, user("p", "two"), state).node == "a"


def test_a_volume_that_is_attached_for_nobody_takes_room() -> None:
    drivers = [{"name": "example.com", "nodeID": "a", "allocatable": {"count": 1}}]
    node_of = {"kind": "CSINode", "metadata": {"name": "a"}, "spec": {"drivers": drivers}}
    attached = {"attacher": "example.com", "nodeName": "a", "source": {"persistentVolumeName": "old"}}
    attachment = {"kind": "VolumeAttachment", "metadata": {"name": "x"}, "spec": attached}
    server = Server(bound("one", "v1"), of_driver("v1"), of_driver("old"), node_of, attachment)
    state = cluster(node("a"))
    assert set(reasons(run(server, user("p", "one"), state)).values()) == {"node(s) exceed max volume count"}
    server.put({**attachment, "spec": {**attached, "nodeName": "b"}})
    assert run(server, user("p", "one"), state).node == "a"


def test_removing_the_one_user_of_a_claim_makes_room_for_another() -> None:
    server = Server(bound(accessModes=["ReadWriteOncePod"]), volume())
    state = cluster(node("a"), node("b"))
    state.place(extract.Pod(**{**vars(user("low")), "node_name": "a"}))
    urgent = user("high", priority=5)
    query = Query(state, storage=server.storage)
    profile = default_profile(storage=server.storage)
    found = DefaultPreemption().post_filter(urgent, profile, query, run(server, urgent, state))
    assert (found.node, [victim.name for victim in found.victims]) == ("a", ["low"])
