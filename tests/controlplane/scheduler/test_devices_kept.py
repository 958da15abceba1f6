"""What is promised to pods on their way, written, and given back."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.objects import Obj, copy, key
from apimachinery.pods.devices import FINALIZER, is_reserved_for
from controlplane.scheduler import extract
from controlplane.scheduler.board import Boards
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.cycle import Decision, decide
from controlplane.scheduler.devices.holdings import KINDS, InformedDevices
from controlplane.scheduler.framework import Query
from controlplane.scheduler.plugins import default_profile
from controlplane.scheduler.plugins.dynamic_resources import DynamicResources
from controlplane.scheduler.refused import Refused
from tests.controlplane.scheduler.build import cluster, node, pod

DEVICE = ("d", "p", "gpu")


class Server:
    """What an API server answers to the scheduler's writes; `answers`: what becomes of the next ones: ok, conflict, or
    lost (written, but no answer comes). Informers hear of it when they are told to (`catch_up`).
    """

    def __init__(self, **device: Any) -> None:
        self.informers = {kind.kind: Informer(cast(Client, None), kind) for kind in KINDS}
        self.devices = InformedDevices(*self.informers.values())
        self.profile = default_profile(devices=self.devices)
        self.plugin = next(p for p in self.profile.at("reserve") if isinstance(p, DynamicResources))
        self.answers: deque[str] = deque()
        self.open: asyncio.Event | None = None
        self.stored: dict[str, Obj] = {}
        self.version = 0
        self.keep({"kind": "DeviceClass", "metadata": {"name": "c"}, "spec": {}})
        pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": "d", "pool": pool, "nodeName": "b", "devices": [{"name": "gpu", **device}]}
        self.keep({"kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": spec})
        self.catch_up()

    def keep(self, obj: Obj) -> Obj:
        self.version += 1
        stored = copy(obj)
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.stored[f"{obj['kind']} {key(stored)}"] = stored
        return stored

    def claim(self, name: str = "claim", **status: Any) -> Obj:
        meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
        asked = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}
        made = self.keep({"kind": "ResourceClaim", "metadata": meta, "spec": asked, "status": status})
        self.catch_up()
        return made

    def now(self, name: str = "claim") -> Obj:
        return self.stored[f"ResourceClaim default/{name}"]

    def catch_up(self) -> None:
        for obj in self.stored.values():
            informer = self.informers[obj["kind"]]
            if informer.get(key(obj)) != obj:
                informer._replace(key(obj), copy(obj))

    def decide(self, wanted: extract.Pod) -> Decision:
        state = cluster(node("a"), node("b"))
        return decide(wanted, self.profile, Query(state), Boards())

    def reserve(self, wanted: extract.Pod, where: str = "b") -> None:
        self.plugin.reserve(wanted, cluster(node(where)).nodes[where])

    # What a Client does.

    async def reachable(self) -> None:
        pass

    async def get(self, kind: Any, name: str, namespace: str) -> Obj:
        return copy(self.now(name))

    async def update(self, kind: Any, obj: Obj, subresource: str = "") -> Obj:
        if self.open is not None:
            await self.open.wait()
        answer = self.answers.popleft() if self.answers else "ok"
        there = self.now(obj["metadata"]["name"])
        if answer == "conflict" or there["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise errors.Conflict("it has changed")
        part = "status" if subresource else "metadata"
        kept = self.keep({**there, part: obj[part]})
        if answer == "lost":
            raise errors.Unreachable("no answer")
        return copy(kept)

    async def patch(self, kind: Any, name: str, patch: Obj, namespace: str, **_: Any) -> Obj:
        (gone,) = patch["status"]["reservedFor"]
        assert gone["$patch"] == "delete"
        there = self.now(name)
        left = [who for who in there["status"]["reservedFor"] if who["uid"] != gone["uid"]]
        return copy(self.keep({**there, "status": {**there["status"], "reservedFor": left}}))


def user(name: str = "p", claim: str = "claim") -> extract.Pod:
    return pod(name, resourceClaims=[{"name": "gpu", "resourceClaimName": claim}])


def bind(server: Server, wanted: extract.Pod, timeout: float = 5) -> None:
    asyncio.run(server.devices.bind(cast(Client, server), wanted, timeout))


def test_what_was_promised_to_one_pod_goes_to_no_other_before_and_after_it_is_written() -> None:
    server = Server()
    server.claim()
    server.claim("other")
    first, second = user(), user("q", "other")
    assert server.decide(first).node == "b"
    server.reserve(first)
    assert {r.reason for r in server.decide(second).rejections.values()} == {"cannot allocate all claims"}
    waiting = "resource claim default/claim is in the process of being allocated"
    assert server.decide(user("same")).everywhere == waiting
    bind(server, first)
    # The informer has not heard of it yet.
    assert not server.decide(second).node
    assert server.decide(user("same")).node == "b"
    server.catch_up()
    assert not server.decide(second).node and not server.devices._promises and not server.devices._written
    claim = server.now()
    assert claim["metadata"]["finalizers"] == [FINALIZER]
    assert claim["status"]["reservedFor"] == [{"resource": "pods", "name": "p", "uid": "uid-p"}]
    server.keep({**claim, "status": {}})
    server.catch_up()
    assert server.decide(second).node == "b"


def test_what_was_promised_is_free_again_where_the_pod_does_not_get_there() -> None:
    server = Server()
    server.claim()
    server.reserve(user())
    assert server.devices.taken.has(DEVICE)
    server.plugin.unreserve(user(), "b")
    assert not server.devices.taken.has(DEVICE)
    back = Event(Change.POD_REMOVED, old=user())
    assert server.plugin.may_help(user("q"), back) and not server.plugin.may_help(
        user("q"), Event(back.change, old=pod())
    )


def test_a_claim_that_changed_meanwhile_is_written_as_it_is_now() -> None:
    server = Server()
    server.claim()
    server.reserve(user())
    server.keep({**server.now(), "metadata": {**server.now()["metadata"], "labels": {"a": "b"}}})
    server.answers += ["ok", "conflict"]
    bind(server, user())
    assert server.now()["metadata"]["labels"] == {"a": "b"} and is_reserved_for(server.now(), "uid-p")


def test_what_somebody_else_allocated_stays() -> None:
    server = Server()
    theirs: Obj = {"allocation": {"devices": {"results": []}}}
    server.claim()
    server.reserve(user())
    server.keep({**server.now(), "status": theirs})
    with pytest.raises(Refused, match="claim default/claim got allocated elsewhere in the meantime"):
        bind(server, user())
    assert server.now()["status"] == theirs


def test_a_write_without_an_answer_is_asked_about_before_anybody_else_gets_the_device() -> None:
    server = Server()
    server.claim()
    server.claim("other")
    server.reserve(user())
    server.answers += ["ok", "lost"]
    bind(server, user())
    assert is_reserved_for(server.now(), "uid-p")
    assert not server.decide(user("q", "other")).node


def test_a_device_stays_with_a_pod_that_goes_until_what_is_being_written_for_it_is_known() -> None:
    server = Server()
    server.claim()
    server.claim("other")
    server.reserve(user())

    async def scenario() -> None:
        server.open = asyncio.Event()
        task = asyncio.ensure_future(server.devices.bind(cast(Client, server), user(), 5))
        await asyncio.sleep(0)
        server.plugin.unreserve(user(), "b")
        assert not server.decide(user("q", "other")).node
        server.open.set()
        await task

    asyncio.run(scenario())
    assert not server.devices._promises and not server.decide(user("q", "other")).node


def test_a_claim_made_anew_does_not_get_what_was_chosen_for_the_one_before_it() -> None:
    server = Server()
    server.claim()
    server.reserve(user())
    server.keep({**server.now(), "metadata": {**server.now()["metadata"], "uid": "another"}})
    with pytest.raises(Refused, match="resourceclaim default/claim is gone"):
        bind(server, user())
    assert not server.now()["status"] and not server.devices.taken.has(DEVICE)


def test_a_claim_that_went_before_the_answer_to_a_write_came_holds_nothing() -> None:
    server = Server()
    server.claim()
    server.reserve(user())

    async def scenario() -> None:
        server.open = asyncio.Event()
        task = asyncio.ensure_future(server.devices.bind(cast(Client, server), user(), 5))
        await asyncio.sleep(0)
        server.informers["ResourceClaim"]._replace("default/claim", None)
        server.open.set()
        with pytest.raises(Refused, match="resourceclaim default/claim is gone"):
            await task

    asyncio.run(scenario())
    assert not server.devices._written and not server.devices.taken.has(DEVICE)


def test_a_pod_that_was_not_bound_gives_its_claim_back_and_nobody_else_s() -> None:
    server = Server()
    server.claim()
    server.reserve(user())
    bind(server, user())
    bind(server, user("q"))
    asyncio.run(server.devices.give_back(cast(Client, server), user()))
    assert [who["name"] for who in server.now()["status"]["reservedFor"]] == ["q"]


def test_devices_that_are_made_ready_hold_the_binding_back_until_they_are_or_fail() -> None:
    conditions = {"bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
    server = Server(**conditions)
    server.claim()
    server.reserve(user())

    def tell(kind: str) -> None:
        found = {"type": kind, "status": "True", "reason": "R", "message": "m"}
        told = {"driver": "d", "pool": "p", "device": "gpu", "conditions": [found]}
        server.keep({**server.now(), "status": {**server.now()["status"], "devices": [told]}})
        server.catch_up()

    async def bound(kind: str) -> None:
        task = asyncio.ensure_future(server.devices.bind(cast(Client, server), user(), 5))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        tell(kind)
        await task

    async def scenario() -> None:
        await bound("Attached")
        server.keep({**server.now(), "status": {**server.now()["status"], "devices": []}})
        server.catch_up()
        with pytest.raises(Refused, match="device binding timeout"):
            await server.devices.bind(cast(Client, server), user(), 0.01)
        with pytest.raises(Refused, match="device binding failed: claim=claim, reason=R"):
            await bound("Broken")

    asyncio.run(scenario())
    assert {r.reason for r in server.decide(user()).rejections.values()} == {"resourceclaim not available on the node"}


def test_devices_of_no_use_are_given_back_where_nobody_else_uses_them() -> None:
    """An allocation for a node that is gone."""
    server = Server()
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gone"]}]}
    allocation = {"devices": {"results": []}, "nodeSelector": {"nodeSelectorTerms": [term]}}
    mine = [{"resource": "pods", "name": "p", "uid": "uid-p"}]
    server.claim(allocation=allocation, reservedFor=mine)
    wanted, state = user(), cluster(node("a"), node("b"))
    decision = server.decide(wanted)
    assert {r.reason for r in decision.rejections.values()} == {"resourceclaim not available on the node"}
    found = server.plugin.post_filter(wanted, server.profile, Query(state), decision)
    assert found is not None and found.message == "deallocation of ResourceClaim completed"
    asyncio.run(_run(found.writes[0](cast(Client, server))))
    assert server.now()["status"] == {}
    was, now = server.informers["ResourceClaim"].get("default/claim"), server.now()
    assert server.plugin.may_help(wanted, Event(Change.RESOURCE_CLAIM, was=was, now=now))
    server.claim(
        "shared", allocation=allocation, reservedFor=[*mine, {"resource": "pods", "name": "q", "uid": "uid-q"}]
    )
    shared = user(claim="shared")
    found = server.plugin.post_filter(shared, server.profile, Query(state), server.decide(shared))
    assert found is not None and not found.writes and found.message == "still not schedulable"


async def _run(work: Any) -> None:
    await work
