"""The pod resources API at a real socket, asked as monitoring agents ask it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from agent.devices import state
from agent.devices.claims import Claims
from agent.devices.drivers import Drivers
from agent.devices.messages import ClaimRef, Device
from agent.devices.pod_resources import PodResources
from agent.devices.state import Held
from apimachinery.objects import Obj
from tests.agent.devices.monitor import PB, Monitor, devices, monitoring
from tests.agent.devices.test_plugins import GPU, World, asking, live
from tests.agent.harness import container, pod
from tests.waiting import until


class Pods(list[Obj]):
    """A node's pods."""

    def pods(self) -> list[Obj]:
        return self

    def find_pod(self, namespace: str, name: str) -> Obj | None:
        meta = (namespace, name)
        return next((p for p in self if (p["metadata"]["namespace"], p["metadata"]["name"]) == meta), None)


@asynccontextmanager
async def monitored(world: World, pods: Pods, *held: Held) -> AsyncIterator[Monitor]:
    """The API of a node with these pods; an agent that was killed left a socket, and claims that it had prepared."""
    directory = world.directory / "pod-resources"
    directory.mkdir()
    (directory / "kubelet.sock").touch()
    file = world.directory / "dra_manager_state"
    file.write_bytes(state.dump(held))
    claims = Claims(None, file, Drivers(None, "n"))
    claims.load()
    task = asyncio.create_task(PodResources(directory, pods, world.plugins, claims).run())
    await until((directory / "kubelet.sock").is_socket)
    async with monitoring(directory) as monitor:
        yield monitor
    task.cancel()
    await asyncio.wait((task,))


@live
async def test_devices_of_plugins_are_told_with_the_numa_nodes_that_they_are_near(world):
    plugin = await world.plugin("g0", "g1", "g2", near={"g0": (0, 1), "g1": (1,)})
    sidecar = asking("side", 1, restartPolicy="Always")
    subject = pod("p", containers=[asking("a", 1), container("b")], initContainers=[container("first"), sidecar])
    ended = {**pod("over", containers=[container("c")]), "status": {"phase": "Succeeded"}}
    await world.plugins.allocate(subject)
    async with monitored(world, Pods([subject, ended])) as monitor:
        (told,) = (await monitor.ask("List", "Pods")).pods
        assert (told.namespace, told.name) == ("default", "p")
        assert {each.name: devices(each) for each in told.containers} == {
            "side": [(GPU, ["g0"], [0]), (GPU, ["g0"], [1])],
            "a": [(GPU, ["g1"], [1])],
            "b": [],
        }
        one = await monitor.ask("Get", "One", PB["Which"](name="p", namespace="default").SerializeToString())
        assert one.pod == told
        every = devices(await monitor.ask("GetAllocatableResources", "Allocatable"))
        assert every == [(GPU, ["g0"], [0]), (GPU, ["g0"], [1]), (GPU, ["g1"], [1]), (GPU, ["g2"], [])]
        old = (await monitor.ask("List", "Pods", version="v1alpha1")).pods
        assert [(each.name, [c.name for c in each.containers]) for each in old] == [("p", ["a", "b"]), ("over", ["c"])]
        assert devices(old[0].containers[0]) == [(GPU, ["g1"], [])]
        plugin.say(g0=True, g1=False)
        await until(lambda: world.plugins.amounts()[GPU] == (2, 1))
        assert {each[1][0] for each in devices(await monitor.ask("GetAllocatableResources", "Allocatable"))} == {"g0"}
    await plugin.stop()


@live
async def test_claims_are_told_with_what_is_prepared_of_them(world):
    held = Held(
        ClaimRef("default", "u", "gpus"), {"uid-p"}, {"gpu.example.com": (Device("pool", "d0", (), ("x=d0",)),)}
    )
    asks = container("a", resources={"claims": [{"name": "g"}, {"name": "g", "request": "r"}]})
    claims = [{"name": "g", "resourceClaimName": "gpus"}]
    subject = pod("p", containers=[asks, container("b")], resourceClaims=claims)
    async with monitored(world, Pods([subject]), held) as monitor:
        a, b = (await monitor.ask("List", "Pods")).pods[0].containers
        (claim,) = a.claims
        assert (claim.namespace, claim.name, not b.claims) == ("default", "gpus", True)
        (part,) = claim.parts
        assert (part.driver, part.pool, part.device, part.share) == ("gpu.example.com", "pool", "d0", "")
        assert [each.name for each in part.cdi] == ["x=d0"]


@live
async def test_a_pod_that_is_not_here_is_an_error_that_says_so(world):
    async with monitored(world, Pods()) as monitor:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await monitor.ask("Get", "One", PB["Which"](name="p", namespace="n").SerializeToString())
        assert caught.value.details() == "pod p in namespace n not found"
        assert not (await monitor.ask("List", "Pods")).pods
