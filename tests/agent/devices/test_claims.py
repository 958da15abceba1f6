"""Claims of pods with a driver that speaks gRPC at real sockets: registered, prepared, kept, given back."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.devices import drivers as drivers_module
from agent.devices import registration, state, statefile
from agent.devices.claims import Claims
from agent.devices.drivers import Drivers
from agent.devices.registration import Registry
from agent.failures import ConfigError, DeviceError
from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from tests.agent.devices.driver import Driver
from tests.waiting import SECONDS, until

DRIVER = "gpu.example.com"


class Api:
    """The objects an agent may read of the API, and what it deletes."""

    def __init__(self) -> None:
        self.claims: dict[str, dict[str, Any]] = {}
        self.wiped: list[str] = []

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        assert kind == kinds.RESOURCE_CLAIM
        if name not in self.claims:
            raise errors.not_found(kind.plural, name, kind.group)
        return self.claims[name]

    async def delete_collection(self, kind: Kind, *, field_selector: str) -> dict[str, Any]:
        assert kind == kinds.RESOURCE_SLICE
        self.wiped.append(field_selector)
        return {}


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.api = Api()
        self.driver = Driver(DRIVER, directory)
        self.begin()

    def begin(self) -> None:
        """As an agent that was started."""
        self.drivers = Drivers(self.api, "node1")  # type: ignore[arg-type]
        self.registry = Registry(self.directory / "plugins_registry", {registration.DRA: self.drivers})
        self.claims = Claims(self.api, self.directory / "state", self.drivers)  # type: ignore[arg-type]
        self.claims.load()

    def claim(self, name: str, *users: str, uid: str = "", drivers: tuple[str, ...] = (DRIVER,), **meta: Any) -> None:
        results = [{"request": "r", "driver": driver, "pool": "p", "device": "d"} for driver in drivers]
        self.api.claims[name] = {
            "metadata": {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", **meta},
            "status": {
                "allocation": {"devices": {"results": results}},
                "reservedFor": [{"resource": "pods", "name": user, "uid": f"uid-{user}"} for user in users],
            },
        }

    @asynccontextmanager
    async def registered(self) -> AsyncIterator[None]:
        self.driver.told.clear()
        watching = asyncio.gather(self.drivers.wipe(), self.registry.run())
        await self.driver.start()
        try:
            await until(lambda: self.driver.told)
            yield
        finally:
            watching.cancel()
            await self.driver.stop()
            await self.drivers.close()


def pod(name: str, *claims: str, **asked: str) -> dict[str, Any]:
    """With these claims; `asked`: requests of one container, by claim, "" for all."""
    wanted = [{"name": claim, **({"request": request} if request else {})} for claim, request in asked.items()]
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"},
        "spec": {
            "resourceClaims": [{"name": claim, "resourceClaimName": claim} for claim in claims],
            "containers": [{"name": "c", "resources": {"claims": wanted}}],
        },
    }


def live(test: Callable[[World], Awaitable[None]]) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        async def main() -> None:
            world = World(tmp_path)
            async with world.registered():
                await test(world)

        asyncio.run(asyncio.wait_for(main(), SECONDS))

    run.__name__ = test.__name__
    return run


def cdi(world: World, of: dict[str, Any]) -> tuple[str, ...]:
    return world.claims.cdi(of, of["spec"]["containers"][0])


async def refused(world: World, of: dict[str, Any]) -> str:
    with pytest.raises(DeviceError) as caught:
        await world.claims.prepare(of)
    return str(caught.value)


@live
async def test_a_claim_is_prepared_once_for_all_its_pods_and_given_back_after_the_last(world):
    world.claim("a", "one", "two")
    world.driver.answers["a"] = [
        {"pool": "p", "name": "d1", "requests": ["big"], "cdi": ["v/c=d1", "v/c=both"]},
        {"pool": "p", "name": "d2", "requests": ["small"], "cdi": ["v/c=d2", "v/c=both"]},
        {"pool": "p", "name": "d3", "cdi": ["v/c=d3"]},
    ]
    one, two = pod("one", "a", a=""), pod("two", "a", a="small")
    await asyncio.gather(world.claims.prepare(one), world.claims.prepare(two))
    assert world.driver.calls == [("prepare", ("ns/a/uid-a",))]
    assert cdi(world, one) == ("v/c=d1", "v/c=both", "v/c=d2", "v/c=d3")
    assert cdi(world, two) == ("v/c=d2", "v/c=both", "v/c=d3")
    assert cdi(world, pod("one", "a")) == ()
    await world.claims.unprepare("uid-one")
    assert len(world.driver.calls) == 1 and world.claims.users() == {"uid-two"}
    await world.claims.unprepare("uid-two")
    await world.claims.unprepare("uid-two")
    assert world.driver.calls[1:] == [("unprepare", ("ns/a/uid-a",))] and not world.claims.users()
    assert state.load(world.directory / "state") == {}
    assert not world.claims._locks, "of claims that are gone nothing is kept"


@live
async def test_claims_of_one_driver_are_asked_for_together(world):
    world.claim("a", "one")
    world.claim("b", "one")
    await world.claims.prepare(pod("one", "a", "b"))
    await world.claims.unprepare("uid-one")
    both = ("ns/a/uid-a", "ns/b/uid-b")
    assert world.driver.calls == [("prepare", both), ("unprepare", both)]


@live
async def test_what_is_missing_is_told_and_asks_no_driver(world):
    world.claim("a", "other")
    world.claim("far", "one", drivers=(DRIVER, "nic.example.com"))
    world.claim("bare", "one")
    world.api.claims["bare"]["status"].pop("allocation")
    world.claim("made", "one", ownerReferences=[{"controller": True, "uid": "uid-other"}])
    templated = pod("one", "a")
    templated["spec"]["resourceClaims"] = [{"name": "t", "resourceClaimTemplateName": "x"}]
    assert (
        await refused(world, pod("one", "none"))
        == 'fetch ResourceClaim none: resourceclaims.resource.k8s.io "none" not found'
    )
    assert await refused(world, pod("one", "a")) == "pod one (uid-one) is not allowed to use ResourceClaim a (uid-a)"
    assert await refused(world, pod("one", "far")) == "DRA driver nic.example.com is not registered"
    assert await refused(world, pod("one", "bare")) == "ResourceClaim bare: not allocated"
    assert await refused(world, templated) == "pod claim t: ResourceClaim not created yet"
    templated["status"] = {"resourceClaimStatuses": [{"name": "t", "resourceClaimName": "made"}]}
    assert await refused(world, templated) == "ResourceClaim ns/made was not created for Pod ns/one (Pod is not owner)"
    templated["status"]["resourceClaimStatuses"][0].pop("resourceClaimName")
    await world.claims.prepare(templated)
    assert not world.driver.calls and not world.claims.users()
    with pytest.raises(ConfigError, match="unable to get information for ResourceClaim a"):
        cdi(world, pod("one", "a", a=""))


@live
async def test_what_a_driver_says_of_a_claim_is_told_and_tried_again(world):
    world.claim("a", "one")
    world.driver.answers["a"] = "no power"
    assert await refused(world, pod("one", "a")) == "NodePrepareResources failed for ResourceClaim a: no power"
    assert world.claims.users() == {"uid-one"}, "it may have been prepared"
    world.driver.answers["a"], world.driver.skip = [], {"a"}
    assert await refused(world, pod("one", "a")) == "NodePrepareResources skipped 1 ResourceClaims"
    world.driver.skip = set()
    await world.claims.prepare(pod("one", "a"))
    world.driver.answers["-a"] = "busy"
    with pytest.raises(DeviceError, match="NodeUnprepareResources failed for ResourceClaim a: busy"):
        await world.claims.unprepare("uid-one")
    assert world.claims.users() == {"uid-one"}
    world.driver.answers["-a"] = ""
    await world.claims.unprepare("uid-one")
    assert not world.claims.users()


@live
async def test_a_driver_that_goes_in_the_middle_of_a_call_fails_it_and_no_more(world):
    world.claim("a", "one")
    world.driver.hangs = True
    preparing = asyncio.ensure_future(world.claims.prepare(pod("one", "a")))
    await until(lambda: world.driver.calls)
    # Its sockets go before its process does, as when it is replaced.
    world.driver.registration.unlink()
    with pytest.raises(DeviceError, match="NodePrepareResources: .* Unavailable"):
        await preparing
    assert world.claims.users() == {"uid-one"}, "it may have been prepared"


@live
async def test_what_one_driver_of_two_took_back_is_prepared_anew_for_the_next(world):
    other = Driver("nic.example.com", world.directory)
    await other.start()
    await until(lambda: other.told)
    world.claim("a", "one", "two", drivers=(DRIVER, other.name))
    await world.claims.prepare(pod("one", "a"))
    other.answers["-a"] = "busy"
    with pytest.raises(DeviceError, match="busy"):
        await world.claims.unprepare("uid-one")
    await world.claims.prepare(pod("two", "a"))
    assert [what for what, _ in world.driver.calls] == ["prepare", "unprepare", "prepare"]
    await other.stop()


@live
async def test_a_claim_that_a_pod_names_twice_is_prepared_once(world):
    world.claim("a", "one")
    subject = pod("one", "a")
    subject["spec"]["resourceClaims"].append({"name": "again", "resourceClaimName": "a"})
    await world.claims.prepare(subject)
    await world.claims.unprepare("uid-one")
    assert world.driver.calls == [("prepare", ("ns/a/uid-a",)), ("unprepare", ("ns/a/uid-a",))]


@live
async def test_another_claim_of_the_same_name_waits_for_the_first_to_be_given_back(world):
    world.claim("a", "one")
    await world.claims.prepare(pod("one", "a"))
    world.claim("a", "two", uid="new")
    assert (await refused(world, pod("two", "a"))).startswith("old ResourceClaim with same name a and different UID")
    await world.claims.unprepare("uid-one")
    await world.claims.prepare(pod("two", "a"))
    assert world.driver.calls[-1] == ("prepare", ("ns/a/new",))


@live
async def test_the_claim_of_extended_resources_goes_to_the_containers_that_ask(world):
    world.claim("x", "one")
    world.driver.answers["x"] = [{"pool": "p", "name": "d", "requests": ["r0"], "cdi": ["v/c=x"]}]
    subject = pod("one")
    mapping = {"containerName": "c", "resourceName": "example.com/gpu", "requestName": "r0"}
    told = {"resourceClaimName": "x", "requestMappings": [mapping]}
    subject["status"] = {"extendedResourceClaimStatus": told}
    await world.claims.prepare(subject)
    assert cdi(world, subject) == ("v/c=x",)
    assert world.claims.cdi(subject, {"name": "other"}) == ()


def test_an_agent_that_was_started_again_knows_what_may_be_prepared(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        world.claim("a", "one")
        world.driver.answers["a"] = [{"pool": "p", "name": "d", "requests": ["r"], "cdi": ["v/c=d"], "share": "s"}]
        async with world.registered():
            await world.claims.prepare(pod("one", "a", a=""))
        held = state.load(tmp_path / "state")
        world.begin()
        assert state.load(tmp_path / "state") == held
        # A container that starts anew needs no driver.
        assert cdi(world, pod("one", "a", a="")) == ("v/c=d",) and world.claims.users() == {"uid-one"}
        assert await refused(world, pod("one", "a")) == f"DRA driver {DRIVER} is not registered"
        async with world.registered():
            await world.claims.prepare(pod("one", "a"))
            await world.claims.unprepare("uid-one")
        assert [what for what, _ in world.driver.calls] == ["prepare", "prepare", "unprepare"]

    asyncio.run(asyncio.wait_for(main(), SECONDS))


@pytest.mark.parametrize("claim", ["{}", '{"namespace":"n","uid":"u","name":"c","pods":[],"drivers":[]}'])
def test_a_damaged_state_is_told(tmp_path, claim):
    (tmp_path / "state").write_text(f'{{"claims": [{claim}]}}')
    with pytest.raises(state.StateError, match="drain the node"):
        World(tmp_path)


def test_slices_go_with_their_driver_and_at_the_start(tmp_path, monkeypatch):
    def are_to_go() -> bool:
        return any(task.get_name() == f"slices of {DRIVER}" for task in asyncio.all_tasks())

    async def main() -> None:
        world = World(tmp_path)
        async with world.registered():
            await until(lambda: world.drivers.get(DRIVER).connected)
            assert world.api.wiped == ["spec.nodeName=node1"]
            # One that is back in time keeps its slices.
            await world.driver.fail()
            await until(are_to_go)
            await world.driver.serve()
            await until(lambda: world.drivers.get(DRIVER).connected and not are_to_go())
            assert len(world.api.wiped) == 1
            monkeypatch.setattr(drivers_module, "_GONE_SECONDS", 0.2)
            await world.driver.stop()
            await until(lambda: world.api.wiped[1:] == [f"spec.nodeName=node1,spec.driver={DRIVER}"])
            with pytest.raises(DeviceError):
                world.drivers.get(DRIVER)

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_plugins_are_told_what_came_of_them(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        old, wrong, csi = Driver("old", tmp_path), Driver("wrong", tmp_path), Driver("csi", tmp_path)
        old.services, wrong.services, csi.kind = ("v1beta1.DRAPlugin", "x"), ("v9.DRAPlugin",), "CSIPlugin"
        (tmp_path / "plugins_registry").mkdir()
        (tmp_path / "plugins_registry/file").touch()
        async with world.registered():
            await asyncio.gather(*(each.start() for each in (old, wrong, csi)))
            await until(lambda: old.told and wrong.told and csi.told)
            assert world.driver.told == old.told == [(True, "")]
            assert wrong.told[0] == (
                False,
                "RegisterPlugin error -- plugin validation failed with err: invalid supported gRPC versions of DRA "
                f"driver plugin wrong at endpoint {wrong.endpoint}: none of services supported by the plugin "
                '(["v9.DRAPlugin"]) are supported by the kubelet (["v1.DRAPlugin" "v1beta1.DRAPlugin"])',
            )
            what = f"no handler registered for plugin type: CSIPlugin at socket {csi.registration}"
            assert csi.told[0] == (False, f"RegisterPlugin error -- {what}")
            world.claim("a", "one", drivers=("old",))
            await world.claims.prepare(pod("one", "a"))
            assert old.service_asked == "v1beta1.DRAPlugin"
            # A refused one that changes its mind is asked again.
            wrong.services = ("v1.DRAPlugin",)
            await until(lambda: wrong.told[-1] == (True, ""))
            for each in (old, wrong, csi):
                await each.stop()

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_a_socket_that_is_none_and_a_plugin_that_is_silent_keep_no_other_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(registration, "_INFO_SECONDS", SECONDS)

    async def main() -> None:
        world = World(tmp_path)
        place = tmp_path / "plugins_registry"
        place.mkdir()
        silent = await asyncio.start_unix_server(lambda _reader, _writer: None, place / "a-silent.sock")
        odd = socket.socket(socket.AF_UNIX)
        odd.bind(os.fsencode(place) + b"/\xff.sock")
        async with world.registered():
            assert world.driver.told == [(True, "")]
        silent.close()
        odd.close()

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_a_driver_without_a_name_takes_nobody_s_slices_along(tmp_path):
    drivers = Drivers(None, "node1")
    for name in ("", "a,spec.nodeName=b", "../a"):
        assert drivers.refusal(name, "/s", ["v1.DRAPlugin"]).startswith("invalid name of DRA driver plugin")
    assert drivers.refusal("gpu.Example.com", "/s", ["v1.DRAPlugin"]) == ""


def test_a_state_is_never_put_over_a_newer_one(tmp_path, monkeypatch):
    written: list[bytes] = []

    def write(_path: Path, data: bytes) -> None:
        # The first takes longest.
        time.sleep(0.0 if written else 0.05)
        written.append(data)

    monkeypatch.setattr(statefile, "write_atomic", write)
    known = [0]

    async def main() -> None:
        file = statefile.StateFile(tmp_path / "state", lambda: b"%d" % known[0])
        first = asyncio.ensure_future(file.write())
        await asyncio.sleep(0.01)
        known[0] = 1
        first.cancel()
        await file.write()
        assert first.cancelled() and written == [b"0", b"1"]

    asyncio.run(main())
