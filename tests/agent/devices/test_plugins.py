"""Device plugins at real sockets: what they offer, who gets it, and what is known after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from agent.cri.channel import Channel
from agent.devices import allocations
from agent.devices import plugins as plugins_module
from agent.devices.plugins import DevicePlugins
from agent.failures import DeviceError
from agent.node.facts import MachineFacts
from agent.node.setters import Observation, set_capacity
from tests.agent.devices.plugin import DevicePlugin
from tests.agent.harness import container, pod
from tests.waiting import SECONDS, until

GPU = "example.com/gpu"


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.begin()

    def begin(self) -> None:
        """As an agent that was started."""
        self.plugins = DevicePlugins(self.directory / "device-plugins")
        self.plugins.load()
        self.task = asyncio.create_task(self.plugins.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))

    async def plugin(self, *ids: str, **options: Any) -> DevicePlugin:
        plugin = DevicePlugin(GPU, self.directory, *ids, **options)
        await until(lambda: (plugin.directory / "kubelet.sock").exists())
        await plugin.start()
        await until(lambda: self.plugins.amounts().get(GPU) == (len(ids), len(ids)))
        return plugin


def live(test: Callable[[World], Awaitable[None]]) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        async def main() -> None:
            world = World(tmp_path)
            try:
                await test(world)
            finally:
                await world.end()

        asyncio.run(asyncio.wait_for(main(), SECONDS))

    run.__name__ = test.__name__
    return run


def asking(name: str, amount: int, **more: Any) -> dict[str, Any]:
    return container(name, resources={"limits": {GPU: str(amount)}}, **more)


@live
async def test_containers_get_devices_of_their_own_and_what_comes_with_them(world):
    plugin = await world.plugin("g0", "g1", "g2")
    await world.plugins.allocate(pod("p", containers=[asking("a", 2), container("b")]))
    assert plugin.calls == [("allocate", ("g0", "g1"))]
    given = world.plugins.given("uid-p", "a")
    assert given.env == (("IDS", "g0 g1"),) and given.annotations == (("example.com/ids", "g0-g1"),)
    assert given.mounts == (("/lib/g", "/usr/lib", True),) and given.cdi == (f"{GPU}=g0",)
    assert given.nodes == (("/dev/g0", "/dev/null", "rw"), ("/dev/g1", "/dev/null", "rw"))
    assert world.plugins.given("uid-p", "b").env == ()
    with pytest.raises(DeviceError) as caught:
        await world.plugins.allocate(pod("q", containers=[asking("a", 1), asking("b", 1)]))
    assert str(caught.value) == f"requested number of devices unavailable for {GPU}. Requested: 1, Available: 0"
    assert world.plugins.users() == {"uid-p"}, "what a refused pod's first container got is free again"
    await world.plugins.release("uid-p")
    await world.plugins.allocate(pod("q", containers=[asking("a", 3)]))
    await plugin.stop()


@live
async def test_init_containers_hand_their_devices_on_and_sidecars_keep_them(world):
    plugin = await world.plugin("g0", "g1", "g2")
    sidecar = asking("side", 1, restartPolicy="Always")
    subject = pod("p", containers=[asking("a", 1), asking("b", 1)], initContainers=[asking("first", 2), sidecar])
    # The sidecar begins when `first` is through, and goes on beside the others.
    await world.plugins.allocate(subject)
    held = {name: world.plugins.given("uid-p", name).env[0][1] for name in ("first", "side", "a", "b")}
    assert held["first"] == "g0 g1" and len({held["side"], held["a"], held["b"]}) == 3
    assert world.plugins.users() == {"uid-p"} and len(plugin.calls) == 4
    await plugin.stop()


@live
async def test_a_plugin_is_asked_what_it_prefers_and_before_a_start(world):
    plugin = await world.plugin("g0", "g1", "g2", preferred=True, pre_start=True)
    plugin.preferred = ["g2", "nonsense"]
    await world.plugins.allocate(pod("p", containers=[asking("a", 2)]))
    await world.plugins.pre_start("uid-p", "a")
    assert plugin.calls == [
        ("prefer", ("g0", "g1", "g2", "|", "2")),
        ("allocate", ("g2", "g0")),
        ("pre-start", ("g2", "g0")),
    ]
    plugin.failing = "no power"
    with pytest.raises(DeviceError, match="no power"):
        await world.plugins.allocate(pod("q", containers=[asking("a", 1)]))
    await plugin.stop()


def test_what_was_given_is_known_after_a_restart_and_plugins_are_to_come_back(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        plugin = await world.plugin("g0", "g1")
        await world.plugins.allocate(pod("p", containers=[asking("a", 1)]))
        given = world.plugins.given("uid-p", "a")
        await world.end()
        world.begin()
        assert world.plugins.given("uid-p", "a") == given and world.plugins.amounts() == {GPU: (0, 0)}
        await until(lambda: not (plugin.directory / plugin.endpoint).exists(), what="it is told to register again")
        await plugin.stop()
        plugin = await world.plugin("g0", "g1")
        await world.plugins.allocate(pod("q", containers=[asking("a", 1)]))
        assert plugin.calls == [("allocate", ("g1",))]
        await world.end()
        await plugin.stop()
        (plugin.directory / "kubelet_internal_checkpoint").write_text("[]")
        with pytest.raises(allocations.AllocationsError, match="drain the node"):
            world.begin()

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_an_agent_that_was_killed_knows_the_resources_and_goes_on_with_what_it_gave(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        plugin = await world.plugin("g0")
        # Nothing was given yet: still the node must not be believed to have devices of somebody else's.
        assert allocations.load(tmp_path / "device-plugins/kubelet_internal_checkpoint").resources == {GPU}
        subject = pod("p", containers=[asking("a", 1)])
        await world.plugins.allocate(subject)
        await world.end()
        await plugin.stop()
        world.begin()
        plugin = await world.plugin("g0")
        # It was killed before the pod had a sandbox: the pod is new to this one.
        await world.plugins.allocate(subject)
        assert world.plugins.given("uid-p", "a").env == (("IDS", "g0"),) and not plugin.calls
        plugin.say(g0=False, g1=True)
        await until(lambda: world.plugins.amounts() == {GPU: (2, 1)})
        with pytest.raises(DeviceError, match="previously allocated devices are no longer healthy"):
            await world.plugins.allocate(subject)
        await plugin.stop()
        await world.end()

    asyncio.run(asyncio.wait_for(main(), SECONDS))


@live
async def test_of_two_registrations_at_once_one_is_followed(world):
    first = await world.plugin("g0")
    other = DevicePlugin(GPU, world.directory, "g0", "g1")
    other.endpoint = "other.sock"
    await asyncio.gather(first.register(), other.start(), first.register(), other.register())
    await other.register()
    await until(lambda: world.plugins.amounts() == {GPU: (2, 2)})
    # The end of one that has been replaced says nothing.
    told = []
    world.plugins.changed.append(lambda: told.append(world.plugins.amounts()[GPU]))
    await first.stop()
    other.say(g0=True, g1=True, g2=True)
    await until(lambda: told)
    assert told == [(3, 3)]
    await other.stop()


@live
async def test_a_plugin_that_does_not_answer_keeps_nobody_waiting_who_wants_other_devices(world):
    silent, other = await world.plugin("g0", "g1"), DevicePlugin("example.com/nic", world.directory, "n0")
    await other.start()
    await until(lambda: world.plugins.amounts().get(other.resource) == (1, 1))
    silent.hangs = True
    waiting = [asyncio.ensure_future(world.plugins.allocate(pod(name, containers=[asking("a", 1)]))) for name in "pq"]
    await until(lambda: silent.calls)
    limits = {"limits": {other.resource: "1"}}
    await world.plugins.allocate(pod("r", containers=[container("a", resources=limits)]))
    assert other.calls == [("allocate", ("n0",))] and len(silent.calls) == 1
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    silent.hangs = False
    await world.plugins.allocate(pod("s", containers=[asking("a", 2)]))
    await silent.stop()
    await other.stop()


@live
async def test_who_cannot_be_asked_what_it_wants_replaces_nobody(world):
    plugin = await world.plugin("g0")
    channel = Channel(world.directory / "nobody.sock")
    with pytest.raises(DeviceError, match="failed to get device plugin options"):
        await world.plugins.add(GPU, "/nobody.sock", ["v1beta1"], channel)
    await world.plugins.allocate(pod("p", containers=[asking("a", 1)]))
    assert plugin.calls == [("allocate", ("g0",))]
    await channel.close()
    await plugin.stop()


def test_devices_go_with_their_plugin(tmp_path, monkeypatch):
    async def main() -> None:
        world = World(tmp_path)
        told: list[int] = []
        world.plugins.changed.append(lambda: told.append(1))
        plugin = await world.plugin("g0", "g1")
        plugin.say(g0=True, g1=False)
        await until(lambda: world.plugins.amounts() == {GPU: (2, 1)})
        status: dict[str, Any] = {"capacity": {"example.com/other": "4"}, "allocatable": {}}
        set_capacity(status, Observation("", MachineFacts(1, 1, 1), None, devices=world.plugins.amounts()))
        assert (status["capacity"][GPU], status["allocatable"][GPU]) == ("2", "1")
        assert status["allocatable"]["example.com/other"] == "4"
        before = len(told)
        await plugin.stop()
        await until(lambda: world.plugins.amounts() == {GPU: (2, 0)})
        assert len(told) > before
        with pytest.raises(DeviceError, match="no healthy devices present; cannot allocate unhealthy devices"):
            await world.plugins.allocate(pod("p", containers=[asking("a", 1)]))
        monkeypatch.setattr(plugins_module, "_GONE_SECONDS", 0.0)
        assert world.plugins.amounts() == {GPU: (0, 0)}
        await world.end()

    asyncio.run(asyncio.wait_for(main(), SECONDS))


@live
async def test_who_is_not_understood_is_told_so(world):
    plugin = DevicePlugin(GPU, world.directory, "g0")
    await until(lambda: (plugin.directory / "kubelet.sock").exists())
    with pytest.raises(grpc.aio.AioRpcError, match="not supported by kubelet"):
        await plugin.start("v1alpha")
    await plugin.stop()
    wrong = DevicePlugin("cpu", world.directory, "g0")
    wrong.endpoint = "cpu.sock"
    with pytest.raises(grpc.aio.AioRpcError, match="is invalid"):
        await wrong.start()
    await wrong.stop()
    assert world.plugins.amounts() == {}
