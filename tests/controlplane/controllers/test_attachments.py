"""Volumes of drivers: where they are attached, who waits for whom, and what forces them off a node."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.kinds import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, VOLUME_ATTACHMENT, Kind
from apimachinery.objects import Obj, key
from controlplane.controllers import names
from controlplane.controllers.attachments import volumes
from controlplane.controllers.attachments.controller import AttachDetachController
from controlplane.controllers.attachments.plan import Detach, Place, Step, outcome, place, plan, reported
from controlplane.controllers.attachments.volumes import Volume
from controlplane.controllers.context import Context, Informers
from controlplane.controllers.settings import Settings
from tests.controlplane.controllers.build import node, pod, ready

ONE = Volume("pv", "csi.example", "vol-1", shared=False)
LIMIT = 360.0
HELD: Obj = {"metadata": {"name": "a", "uid": "u"}, "status": {"attached": True}}
GOING: Obj = {"metadata": {**HELD["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
OUT = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}


def volume(*modes: str, **spec: Any) -> Obj:
    source = {"driver": "csi.example", "volumeHandle": "vol-1"}
    return {"metadata": {"name": "pv"}, "spec": {"csi": source, "accessModes": list(modes), **spec}}


def test_a_volume_is_called_as_nodes_and_drivers_call_it() -> None:
    found = volumes.of(volume("ReadWriteOnce"))
    assert found == ONE and volumes.of(volume(csi=None)) is None and volumes.of(None) is None
    assert ONE.unique == "kubernetes.io/csi/csi.example^vol-1"

    # sha256 of handle, driver and node, one after the other.
    assert ONE.attachment("n1") == "csi-c59aa9fdb6e704451dbd837db8aa988fe5ba4a80aaa589eb502c5a10c5b2b9c8"
    assert ONE.attachment("n1") != ONE.attachment("n2")
    assert volumes.made(ONE, "n1")["spec"] == {
        "attacher": "csi.example",
        "nodeName": "n1",
        "source": {"persistentVolumeName": "pv"},
    }


@pytest.mark.parametrize(
    ("modes", "shared"),
    [
        ((), True),
        (("ReadWriteOnce",), False),
        (("ReadWriteOncePod",), False),
        (("ReadWriteOnce", "ReadOnlyMany"), True),
        (("ReadWriteMany",), True),
    ],
)
def test_who_may_share_a_volume(modes: tuple[str, ...], shared: bool) -> None:
    found = volumes.of(volume(*modes))
    assert found is not None and found.shared is shared


def test_a_driver_is_asked_unless_it_says_that_it_need_not_be() -> None:
    assert (
        volumes.attaches(None)
        and volumes.attaches({"spec": {}})
        and volumes.attaches({"spec": {"attachRequired": True}})
    )
    assert not volumes.attaches({"spec": {"attachRequired": False}})


def test_what_a_node_says_of_a_volume() -> None:
    there: Obj = node("n", conditions=(ready(),), taints=[OUT])
    there["status"]["volumesInUse"] = [ONE.unique]
    assert place("n", there, ONE, None, ()) == Place("n", None, (), True, True, True)
    assert place("n", node("n"), ONE, None, ()) == Place("n", None, (), False, True, False)
    # Nobody says that a node that is gone has it no longer mounted.
    assert place("n", None, ONE, HELD, ()) == Place("n", HELD, (), True, False, False)


FREE = Place("n1", HELD, mounted=False, healthy=True)
MOUNTED = Place("n1", HELD, mounted=True, healthy=True)
SILENT = replace(MOUNTED, healthy=False)
DETACHES = [
    (FREE, Step(detach=(Detach("n1", False),))),
    (replace(FREE, users=(pod("a"),)), Step()),
    (replace(FREE, attachment=GOING), Step()),
    (MOUNTED, Step(again=LIMIT)),
    (replace(MOUNTED, since=LIMIT), Step()),
    (replace(SILENT, since=100.0), Step(again=LIMIT - 100.0)),
    (replace(SILENT, since=LIMIT), Step(detach=(Detach("n1", True),))),
    (replace(SILENT, out_of_service=True), Step(detach=(Detach("n1", True),))),
]


@pytest.mark.parametrize(("there", "wanted"), DETACHES)
def test_a_volume_leaves_a_node_that_does_not_need_it(there: Place, wanted: Step) -> None:
    assert plan(ONE, (there,), LIMIT) == wanted


def test_without_a_limit_only_the_taint_forces_a_volume_off() -> None:
    assert plan(ONE, (replace(SILENT, since=1e9),), 0) == Step()
    assert plan(ONE, (replace(SILENT, out_of_service=True),), 0).detach == (Detach("n1", True),)


def test_a_volume_of_one_writer_waits_for_the_other_node_and_says_for_whom() -> None:
    near, far = pod("near"), pod("far")
    far["metadata"]["namespace"] = "other"
    holder, waiting = replace(MOUNTED, users=(near, far)), Place("n2", users=(pod("new"),))
    step = plan(ONE, (holder, waiting), LIMIT)
    assert not step.attach and [(n.reason, n.message) for n in step.notes] == [
        (
            "FailedAttachVolume",
            'Multi-Attach error for volume "pv" Volume is already used by pod(s) near and 1 pod(s) in different '
            "namespaces",
        )
    ]
    empty = plan(ONE, (MOUNTED, waiting), LIMIT).notes[0].message
    assert empty.endswith("Volume is already exclusively attached to one node and can't be attached to another")
    assert plan(replace(ONE, shared=True), (holder, waiting), LIMIT) == Step(attach=("n2",))


PLACES = st.builds(
    Place,
    node=st.just(""),
    attachment=st.sampled_from((None, HELD, GOING)),
    users=st.sampled_from(((), (pod("a"),))),
    mounted=st.booleans(),
    healthy=st.booleans(),
    out_of_service=st.booleans(),
    since=st.sampled_from((0.0, LIMIT)),
)


@given(st.lists(PLACES, max_size=4), st.booleans())
def test_one_writer_has_one_node_and_mounted_volumes_stay(found: list[Place], shared: bool) -> None:
    places = [replace(each, node=f"n{number}") for number, each in enumerate(found)]
    step = plan(replace(ONE, shared=shared), places, LIMIT)
    held = [each.node for each in places if each.attachment is not None]
    if not shared:
        assert len(step.attach) <= (0 if held else 1)
    for detach in step.detach:
        (there,) = [each for each in places if each.node == detach.node]
        assert not there.users
        forced = there.out_of_service or (not there.healthy and there.since >= LIMIT)
        assert (not there.mounted or forced) and detach.forced == forced


def test_pods_hear_how_it_went_once() -> None:
    there = Place("n1", HELD, users=(pod("a"),))
    (note,) = outcome(ONE, there, None)
    assert (note.reason, note.message) == (
        "SuccessfulAttachVolume",
        'AttachVolume.Attach succeeded for volume "pv" ',
    )
    assert outcome(ONE, there, HELD["status"]) == []
    failed = {"attached": False, "attachError": {"message": "no room", "time": "2026-01-01T00:00:00Z"}}
    trouble = replace(there, attachment={**HELD, "status": failed})
    assert [n.message for n in outcome(ONE, trouble, {})] == ['AttachVolume.Attach failed for volume "pv" : no room']
    assert outcome(ONE, trouble, failed) == []


def test_a_node_is_told_what_it_may_mount() -> None:
    waiting = {"metadata": {"name": "w"}, "status": {"attached": False}}
    other = {**HELD, "metadata": {"name": "b", "uid": "v"}}
    there = {"u2": other, "u1": HELD, "going": {**GOING, **{"status": {"attached": True}}}, "not yet": waiting}
    assert reported(there, ()) == [{"name": "u1", "devicePath": ""}, {"name": "u2", "devicePath": ""}]
    assert reported(there, {"u"}) == [{"name": "u2", "devicePath": ""}]


def test_a_detach_that_failed_is_forgotten_where_a_pod_needs_the_volume_again() -> None:
    """Its node is told of the volume again; without that the pod would wait for ever."""

    class Server:
        def __init__(self) -> None:
            self.told: list[Any] = []

        async def patch(self, kind: Kind, which: str, patch: Obj, **_: Any) -> None:
            self.told.append(patch["status"]["volumesAttached"])
            informers.of(NODE)._replace("n1", {**there, "status": {**there["status"], **patch["status"]}})

        async def get(self, kind: Kind, which: str) -> Obj:
            return there

        async def delete(self, *_: Any, **__: Any) -> None:
            raise errors.Unreachable("away")

    there = node("n1", conditions=(ready(),))
    there["metadata"] |= {"uid": "node", "annotations": {names.ATTACHED_BY_CONTROLLER: "true"}}
    told = [{"name": ONE.unique, "devicePath": ""}]
    there["status"]["volumesAttached"] = told
    bound = volume("ReadWriteOnce", claimRef={"namespace": "default", "name": "c", "uid": "claim"})
    claim = {"metadata": {"name": "c", "namespace": "default", "uid": "claim"}, "spec": {"volumeName": "pv"}}
    server = Server()
    client = cast(Client, server)
    informers = Informers(client)
    settings = Settings(Path("unused"))
    loop = AttachDetachController(Context(client, EventRecorder(client, "test"), informers, settings))
    held = {**volumes.made(ONE, "n1"), "status": {"attached": True}}
    held["metadata"]["uid"] = "attachment"
    for kind, obj in (
        (NODE, there),
        (PERSISTENT_VOLUME, bound),
        (PERSISTENT_VOLUME_CLAIM, {**claim, "status": {"phase": "Bound"}}),
        (VOLUME_ATTACHMENT, held),
    ):
        informers.of(kind)._replace(key(obj), obj)

    async def scenario() -> None:
        with pytest.raises(errors.Unreachable):
            await loop._sync((PERSISTENT_VOLUME, "pv"))
        assert server.told == [None]
        used = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
        user = pod("a", nodeName="n1", volumes=[used])
        informers.of(POD)._replace(key(user), user)
        await loop._sync((PERSISTENT_VOLUME, "pv"))
        await loop._sync((NODE, "n1"))
        assert server.told == [None, told]

    asyncio.run(scenario())
