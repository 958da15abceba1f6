"""The whole program against our API server: killed, flushed, switched, cleaned up under a client that never stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit import command, netns
from benchmarks.plane import Daemons, daemons
from netproxy import modes
from netproxy.userspace.ways import ROUTE_PROTOCOL
from tests.conftest import SLOWNESS
from tests.forked import forked
from tests.netproxy.rig import BRIEF, IN_KERNEL, MODES, NODE_IP, PODS, Rig, new_rig
from tests.waiting import SECONDS, until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
both = pytest.mark.parametrize("mode", IN_KERNEL)
MARKS = {"nftables": "table ip wherry-proxy {", "ipvs": "WHERRY-IPVS", "iptables": "KUBE-"}
"""what each leaves among the rules of nftables"""

CHANGES = [(mode, next(name for name in IN_KERNEL if name != mode)) for mode in IN_KERNEL]
CHANGES += [("userspace", IN_KERNEL[0]), (IN_KERNEL[0], "userspace")]


class World:
    """A node with an API server and a proxy on it, and one Service."""

    def __init__(self, rig: Rig, processes: Daemons, mode: str) -> None:
        self.rig = rig
        self.processes = processes
        self.settings = {
            "kubeconfig": str(processes.kubeconfig),
            "mode": mode,
            "node_name": "",
            "node_ips": [NODE_IP],
            "cluster_cidr": "10.244.0.0/16",
            "service_cidr": "10.96.0.0/16",
            "ipv6": False,
        }
        self.vip = ""
        self.slice: dict[str, Any] = {}
        self.answers: list[str] = []
        """to the load, while there is one"""

    def start_proxy(self) -> None:
        self.processes.start("proxy", "netproxy", self.settings)

    async def create_service(self, client: Client) -> None:
        spec = {"type": "NodePort", "ports": [{"name": "p", "port": 80, "targetPort": 8080, "nodePort": 30080}]}
        made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
        self.vip = (await client.create(SERVICE, made, namespace="default"))["spec"]["clusterIP"]
        self.slice = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [_endpoint(ip) for ip in PODS],
            "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
        }
        self.slice = await client.create(ENDPOINT_SLICE, self.slice, namespace="default")

    async def set_endpoints(self, client: Client, *ips: str) -> None:
        self.slice = {**self.slice, "endpoints": [_endpoint(ip) for ip in ips]}
        self.slice = await client.update(ENDPOINT_SLICE, self.slice)

    async def until_answered_by(self, *ips: str, timeout: float = 60.0 * SLOWNESS) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                if set(await asyncio.to_thread(self.rig.who, self.rig.client, self.vip, 80, 30)) == set(ips):
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, self.processes.log("proxy")[-3000:]
            await asyncio.sleep(0.02)


def _endpoint(ip: str) -> dict[str, Any]:
    return {"addresses": [ip], "conditions": {"ready": True}}


def run(
    mode: str, body: Callable[[World, Client], Coroutine[Any, Any, None]], load: bool = True, cut_off: int = 0
) -> None:
    """`cut_off`: so many connections may end in the middle; none is refused or gets no answer."""
    with new_rig() as rig, daemons(rig.node, forked) as processes:

        async def main() -> None:
            await rig.wire()
            processes.start_api()
            await processes.until_serving(30.0 * SLOWNESS)
            world = World(rig, processes, mode)
            world.start_proxy()
            client = Client.from_kubeconfig(processes.kubeconfig, "test")
            try:
                await asyncio.wait_for(_with_load(world, client, body, load, cut_off), 90 * SLOWNESS)
            finally:
                await client.close()

        # The client connects from the node, so the loop's thread lives in its namespace.
        netns.call(rig.node, lambda: asyncio.run(main()))


async def _with_load(
    world: World, client: Client, body: Callable[[World, Client], Coroutine[Any, Any, None]], load: bool, cut_off: int
) -> None:
    await world.create_service(client)
    await world.until_answered_by(*PODS)
    fronts = ((world.vip, 80), (NODE_IP, 30080)) if load else ()
    # Of a relay that has ended, only addresses of its own keep clients waiting; the node's refuse them.
    with world.rig.loaded(*(fronts[:1] if cut_off else fronts)) as (world.answers, failures):
        await body(world, client)
    refused = [failure for failure in failures if "reset by peer" not in failure]
    assert refused == [] and len(failures) <= cut_off, failures[:5]


@both
def test_kill_and_restart_without_a_gap(mode: str) -> None:
    async def body(world: World, client: Client) -> None:
        world.processes.end("proxy", signal.SIGKILL)
        had = len(world.answers)
        await until(lambda: len(world.answers) > had + 20, SECONDS * SLOWNESS, "answers without a proxy")
        await world.set_endpoints(client, PODS[0], PODS[1])
        world.start_proxy()
        await world.until_answered_by(PODS[0], PODS[1])
        await world.set_endpoints(client, PODS[2])
        await world.until_answered_by(PODS[2])

    run(mode, body)


@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="needs /dev/net/tun (modprobe tun)")
def test_a_killed_relay_keeps_clients_waiting_and_comes_back_with_what_changed_meanwhile() -> None:
    async def body(world: World, client: Client) -> None:
        rig = world.rig
        world.processes.end("proxy", signal.SIGKILL)
        for where in (rig.client, rig.node):
            assert rig.outcome(where, world.vip, 80, BRIEF) == "silence"
        assert rig.outcome(rig.client, NODE_IP, 30080) == "refused"
        waiting = [asyncio.create_task(asyncio.to_thread(rig.ask, at, world.vip, 80)) for at in (rig.client, rig.node)]
        await world.set_endpoints(client, PODS[0], PODS[1])
        world.start_proxy()
        assert {answer for answer, _ in await asyncio.gather(*waiting)} <= {PODS[0], PODS[1]}
        await world.until_answered_by(PODS[0], PODS[1])
        assert rig.outcome(rig.node, NODE_IP, 30080) == "answered"
        await world.set_endpoints(client, PODS[2])
        await world.until_answered_by(PODS[2])

    # A relay's connections are the process's own: nothing else can hold them.
    run("userspace", body, cut_off=1)


@pytest.mark.parametrize("mode", MODES)
def test_a_foreign_flush_is_repaired(mode: str) -> None:
    async def body(world: World, _client: Client) -> None:
        await command.run(["nsenter", f"--net={world.rig.node}", "nft", "flush", "ruleset"], timeout=60)
        # Without the notification it would be noticed half a minute later.
        await world.until_answered_by(*PODS, timeout=60 * SLOWNESS)

    run(mode, body, load=False)


@pytest.mark.parametrize(("mode", "other"), CHANGES)
def test_changing_the_mode_and_cleaning_up(mode: str, other: str) -> None:
    async def body(world: World, client: Client) -> None:
        world.processes.end("proxy")
        world.settings["mode"] = other
        world.start_proxy()

        async def gone() -> bool:
            return not await _rules(world, mode)

        await until(gone, SECONDS * SLOWNESS, f"rules of {mode} are gone", 0.05)
        await world.set_endpoints(client, PODS[1])
        await world.until_answered_by(PODS[1])

    # Who was on the relay as it ended was not refused, but cut off.
    run(mode, body, cut_off=1 if mode == "userspace" else 0)


def test_cleanup_of_the_command_line_leaves_nothing() -> None:
    async def body(world: World, _client: Client) -> None:
        world.processes.end("proxy")
        argv = ["nsenter", f"--net={world.rig.node}", sys.executable, "-m", "netproxy", "--cleanup"]
        await command.run(argv, timeout=60)
        for mode in modes.mode_names():
            assert await _rules(world, mode) == ""

    run("iptables", body, load=False)


async def _rules(world: World, mode: str) -> str:
    """Lines of a mode's rules that are still there; of the relay's, its routes and links: its guard is every mode's."""
    enter = ["nsenter", f"--net={world.rig.node}"]
    if mode == "userspace":
        routes = await command.run(
            [*enter, "ip", "route", "show", "table", "all", "proto", str(ROUTE_PROTOCOL)], timeout=60
        )
        links = await command.run([*enter, "ip", "-o", "link", "show", "type", "tun"], timeout=60)
        return routes.stdout.decode() + links.stdout.decode()
    text = (await command.run([*enter, "nft", "list", "ruleset"], timeout=60)).stdout.decode()
    return "\n".join(line for line in text.splitlines() if MARKS[mode] in line)
