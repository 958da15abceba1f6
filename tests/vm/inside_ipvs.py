"""Run in the guest by test_ipvs: IPVS mode in a node of the rig, with real packets, and what others do to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest

from apimachinery.kit import command, netns
from netproxy import modes
from netproxy.ipvs.apply import IpvsMode
from netproxy.ipvs.options import Options
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from netproxy.modes import Options as ModeOptions
from tests.conftest import SLOWNESS
from tests.netproxy.rig import NODE_IP, PODS, Rig, new_rig
from tests.netproxy.test_kernel import GROUND, VIP, of, route

pytestmark = pytest.mark.vm
MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "dummy", "veth", "br_netfilter", "nf_conntrack", "overlay")
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "lblc", "lblcr", "fo", "ovf")
Body = Callable[[Rig, IpvsMode], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("module", MODULES)
def test_the_kernel_has_the_module(module: str) -> None:
    subprocess.run(["modprobe", module], timeout=120, check=True)


def run(body: Body, options: Options = Options(), **grounds: Any) -> None:  # noqa: B008
    async def main() -> None:
        with new_rig() as rig:
            await rig.wire()
            mode = IpvsMode((replace(GROUND, **grounds),), rig.node, "", options)
            await mode.open()
            try:
                await asyncio.wait_for(body(rig, mode), 60 * SLOWNESS)
            finally:
                mode.close()

    asyncio.run(main())


async def node(rig: Rig, words: str) -> str:
    argv = ["nsenter", f"--net={rig.node}", "sh", "-c", words]
    return (await command.run(argv, timeout=60)).stdout.decode()


DAMAGE = {
    "a virtual server": f"ipvsadm -D -t {VIP}:80",
    "all virtual servers": "ipvsadm -C",
    "a real server": f"ipvsadm -d -t {VIP}:80 -r {PODS[0]}:8080",
    "a weight": f"ipvsadm -e -t {VIP}:80 -r {PODS[0]}:8080 -m -w 0",
    "a scheduler": f"ipvsadm -E -t {VIP}:80 -s wlc",
    "an address": f"ip address del {VIP}/32 dev kube-ipvs0",
    "the device": "ip link del kube-ipvs0",
    "a set": "ipset flush KUBE-CLUSTER-IP",
    "a setting": "sysctl -qw net.ipv4.vs.conntrack=0",
    "a chain": "iptables -t nat -F WHERRY-IPVS-SERVICES",
    "a jump": "iptables -t nat -F POSTROUTING",
    "all rules": "nft flush ruleset",
}


def test_whatever_others_do_is_noticed_and_mended() -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        routes = of(route(*PODS, node_port=30080))
        lost, took = asyncio.Event(), {}
        await mode.rebuild(routes)
        mended = asyncio.Event()
        watching = asyncio.ensure_future(mode.watch(lost.set, mended.set))
        await asyncio.sleep(1)
        assert not lost.is_set(), "nobody did anything"
        for what, words in DAMAGE.items():
            before = await state(rig)
            lost.clear()
            mended.clear()
            await node(rig, words)
            began = time.monotonic()
            told = [asyncio.ensure_future(event.wait()) for event in (lost, mended)]
            done, _ = await asyncio.wait(told, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            for task in told:
                task.cancel()
            assert done, what
            if lost.is_set():
                await mode.rebuild(routes)
            took[what] = round(time.monotonic() - began, 1)
            assert await state(rig) == before, what
        watching.cancel()
        print("mended after", took)
        assert set(rig.who(rig.client, VIP, 80, 20)) == set(PODS)

    run(body)


async def state(rig: Rig) -> list[str]:
    words = "ipvsadm -Sn; ip -br address show dev kube-ipvs0; ipset save; sysctl net.ipv4.vs.conntrack; iptables-save"
    lines = (await node(rig, words)).splitlines()
    return sorted(line for line in lines if not line.startswith(("#", ":")))


def test_every_scheduler_that_the_kernel_has_is_taken() -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        for scheduler in SCHEDULERS:
            other = IpvsMode((GROUND,), rig.node, "", Options(scheduler))
            await other.open()
            await other.prepare()
            await other.rebuild(of(route(*PODS)))
            assert f"-s {scheduler}\n" in await node(rig, "ipvsadm -Sn")
            assert rig.ask(rig.client, VIP, 80)[0] in PODS, scheduler
            other.close()

    run(body)


def test_settings_timeouts_and_excluded_ranges() -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        await node(rig, "modprobe ip_vs; ipvsadm -A -t 198.51.100.7:443 -s rr; ipvsadm -A -t 198.51.101.7:443 -s rr")
        await mode.rebuild(of(route(*PODS)))
        table = await node(rig, "ipvsadm -Ln --timeout; ipvsadm -Sn")
        assert "901 121 301" in table.replace("Timeout (tcp tcpfin udp):", "")
        assert "198.51.100.7" in table and "198.51.101.7" not in table
        seen = await node(rig, "sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce")
        assert seen.split() == ["1", "2"]
        await mode.cleanup()
        left = await node(rig, "ipvsadm -Sn; ip -br link; ipset list -n; iptables-save")
        assert "198.51.100.7" in left
        assert all(word not in left for word in (VIP, "kube-ipvs0", "KUBE", "WHERRY")), left

    run(body, Options("rr", True, ("198.51.100.0/24",), 901, 121, 301))


def test_a_connection_outlives_its_endpoint_in_the_list_and_the_endpoint_goes_with_it() -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        await mode.rebuild(of(route(PODS[0])))
        with netns.open_socket(rig.client, socket.AF_INET, socket.SOCK_STREAM) as handle:
            handle.settimeout(10)
            handle.connect((VIP, 80))
            await mode.change(of(route(PODS[2])))
            assert handle.recv(100).decode().startswith(PODS[0]), "it still speaks to whom it spoke"
            assert set(rig.who(rig.client, VIP, 80, 5)) == {PODS[2]}
            assert f"-r {PODS[0]}:8080 -m -w 0" in await node(rig, "ipvsadm -Sn")
            # A connection that is reset is forgotten after ten seconds, one that ends after two minutes.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        watching = asyncio.ensure_future(mode._see_off())
        deadline = time.monotonic() + 100
        while PODS[0] in await node(rig, "ipvsadm -Sn"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        watching.cancel()

    run(body)


@contextlib.contextmanager
def asking(rig: Rig) -> Iterator[tuple[list[str], list[str]]]:
    """Clients at a VIP and a node port; who answered, and what failed."""
    done, answers, failures = threading.Event(), [], []

    def ask(address: str, port: int) -> None:
        while not done.is_set():
            try:
                answers.append(rig.ask(rig.client, address, port, 20)[0])
            except OSError as error:
                failures.append(f"{address}: {error}")

    threads = [threading.Thread(target=ask, args=front) for front in ((VIP, 80), (NODE_IP, 30080))]
    for thread in threads:
        thread.start()
    try:
        yield answers, failures
    finally:
        done.set()
        for thread in threads:
            thread.join(30)


@pytest.mark.parametrize("other", ["nftables", "iptables"])
def test_a_change_of_modes_there_and_back_fails_no_connection(other: str) -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        routes = of(route(*PODS, node_port=30080))
        theirs = modes.make(other, (GROUND,), rig.node, ModeOptions())
        await theirs.open()
        await theirs.rebuild(routes)
        with asking(rig) as (answers, failures):
            for _ in range(2):
                await mode.rebuild(routes)
                await theirs.cleanup()
                await asyncio.sleep(2)
                await theirs.rebuild(routes)
                await mode.cleanup(30.0)
                await asyncio.sleep(2)
        assert failures == [] and len(answers) > 20
        theirs.close()

    run(body)


def test_ipv6() -> None:
    six, vip, pod = replace(GROUND, family=Family.IPV6, cluster_cidrs=("fd00:244::/32",)), "fd00:96::100", "fd00:244::5"
    key = PortKey("default", "six", "p", "TCP", Family.IPV6)
    wanted = Route(ServicePort(key, vip, 80), (Backend(pod, 8080, True),), (), True)

    async def body(rig: Rig, _mode: IpvsMode) -> None:
        place = rig.pods[PODS[0]]
        await rig.ip(rig.node, "-6 addr add fd00:20::11/64 dev v0 nodad")
        await rig.ip(rig.node, f"-6 route add {pod}/128 dev v0")
        await rig.ip(place, f"-6 addr add {pod}/128 dev e0 nodad", "-6 route add default via fe80::1 dev e0")
        await rig.ip(rig.node, "-6 addr add fe80::1/64 dev v0 nodad")
        heard = netns.open_socket(place, socket.AF_INET6, socket.SOCK_STREAM)
        heard.bind(("::", 8080))
        heard.listen(8)
        mode = IpvsMode((replace(six, service_cidrs=(), node_ips=()),), rig.node)
        await mode.open()
        await mode.prepare()
        await mode.rebuild({key: wanted})
        with netns.open_socket(rig.node, socket.AF_INET6, socket.SOCK_STREAM) as handle:
            handle.settimeout(20)
            handle.connect((vip, 80))
        heard.close()
        await mode.cleanup()
        mode.close()

    run(body)
