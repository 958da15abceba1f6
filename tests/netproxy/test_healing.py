"""Whatever somebody does to our rules is mended at once, and connections live through it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit import command, netns
from apimachinery.kit.conntrack import Flow
from apimachinery.kit.nft_events import Listener, Transaction
from benchmarks.plane import daemons
from netproxy import conntrack
from netproxy.ground import Ground
from netproxy.iptables import base, diff
from netproxy.iptables.plan import Key
from netproxy.iptables.watch import NO_DAMAGE, UNKNOWN, Damage, foreign, judge
from netproxy.model import Family
from tests.cni.kernel import staying_echo
from tests.forked import forked
from tests.netproxy.rig import PODS, Rig, new_rig
from tests.netproxy.test_daemon import World

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
STAYING = 8081
# The proxy of a host that is no node knows no pod that may call itself.
ENDPOINTS = PODS[1:]
BACKENDS = {"nftables": "", "iptables": "", "iptables, legacy": "legacy"}


class Stayer:
    """A connection through the VIP that says something every few milliseconds and wants it back."""

    def __init__(self, handle: socket.socket) -> None:
        self.handle = handle
        self.echoed = 0
        self.broken = ""

    def run(self, address: str, done: threading.Event) -> None:
        self.handle.settimeout(20)
        try:
            self.handle.connect((address, STAYING))
            while not done.is_set():
                self.handle.sendall(b"x")
                assert self.handle.recv(1) == b"x"
                self.echoed += 1
                done.wait(0.003)
        except OSError as error:
            self.broken = str(error)
        finally:
            self.handle.close()


class Healing(World):
    """One Service of two ports; clients outside, in a pod and on the node."""

    def __init__(self, rig: Rig, processes: Any, mode: str) -> None:
        super().__init__(rig, processes, mode.split(",")[0])
        self.settings["iptables_backend"] = BACKENDS[mode]
        # Nothing may be mended because time has passed.
        self.settings["sync_period"] = 3600.0
        self.legacy = BACKENDS[mode] == "legacy"
        self.begun = 0
        self.failed: list[tuple[float, str]] = []
        self.damaged = self.mended = 0.0
        self.stayers: list[Stayer] = []

    async def create_service(self, client: Client) -> None:
        ports = [{"name": "p", "port": 80}, {"name": "stay", "port": STAYING}]
        made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": ports}}
        self.vip = (await client.create(SERVICE, made, namespace="default"))["spec"]["clusterIP"]
        self.slice = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ENDPOINTS],
            "ports": [
                {"name": "p", "port": 8080, "protocol": "TCP"},
                {"name": "stay", "port": STAYING, "protocol": "TCP"},
            ],
        }
        self.slice = await client.create(ENDPOINT_SLICE, self.slice, namespace="default")

    async def shell(self, words: str, check: bool = True) -> str:
        argv = ["nsenter", f"--net={self.rig.node}", "sh", "-c", words]
        return (await command.run(argv, timeout=60, check=check)).stdout.decode()

    async def rules(self) -> list[str]:
        """Ours, without what differs between two equal states."""
        if self.settings["mode"] == "nftables":
            text = await self.shell("nft list table ip wherry-proxy", check=False)
            return sorted(word.strip(" \t{}") for word in re.split(r"[\n,]", text))
        tool = "iptables-legacy" if self.legacy else "iptables"
        text = await self.shell(f"{tool}-save -t nat; {tool}-save -t filter", check=False)
        ours = (line for line in text.splitlines() if "KUBE" in line or "WHERRY" in line)
        return sorted(re.sub(r"\[\d+:\d+\]", "", line) for line in ours)

    async def damage(self, words: str) -> None:
        """What comes next for whoever asks all the time is this one's doing."""
        self.check()
        self.begun, self.failed = 0, []
        self.damaged = time.monotonic()
        await self.shell(words)

    async def until_mended(self, rules: list[str]) -> float:
        began = time.monotonic()
        while await self.rules() != rules:
            assert time.monotonic() - began < 20, self.processes.log("proxy")[-2000:]
        self.mended = time.monotonic()
        return self.mended - began

    def noticed(self) -> int:
        """How often the proxy told of somebody else's changes."""
        return self.processes.log("proxy").count("another program")

    def check(self) -> None:
        """What connections saw since the last damage."""
        broken = [stayer.broken for stayer in self.stayers if stayer.broken]
        assert not broken, "a connection that was there before must outlive it"
        failed = self.failed
        if self.settings["mode"] == "nftables":
            # A cluster IP's unused ports are refused there, and while part of the table is missing that is every port.
            failed = [(at, what) for at, what in failed if not self.damaged < at < self.mended or "refused" not in what]
        assert not failed, "a new connection may wait, not fail"

    def traffic(self, done: threading.Event) -> list[threading.Thread]:
        def begin(where: Any) -> None:
            while not done.is_set():
                self.begun += 1
                try:
                    self.answers.append(self.rig.ask(where, self.vip, 80, 10)[0])
                except OSError as error:
                    self.failed.append((time.monotonic(), f"{where.name}: {error}"))

        threads = []
        for where in (self.rig.client, self.rig.pods[PODS[0]], self.rig.node):
            stayer = Stayer(netns.open_socket(where, socket.AF_INET, socket.SOCK_STREAM))
            self.stayers.append(stayer)
            threads.append(threading.Thread(target=stayer.run, args=(self.vip, done)))
            threads.append(threading.Thread(target=begin, args=(where,)))
        for thread in threads:
            thread.start()
        return threads

    async def until_busy(self) -> None:
        """All clients have got further."""
        before, answered = [s.echoed for s in self.stayers], len(self.answers)
        deadline = time.monotonic() + 60
        while (
            any(s.echoed < b + 3 for s, b in zip(self.stayers, before, strict=True)) or len(self.answers) < answered + 9
        ):
            assert time.monotonic() < deadline, [s.broken for s in self.stayers]
            await asyncio.sleep(0.01)


@asynccontextmanager
async def healing(rig: Rig, mode: str) -> AsyncIterator[Healing]:
    with daemons(rig.node, forked) as processes:
        await rig.wire()
        processes.start_api()
        await processes.until_serving()
        world = Healing(rig, processes, mode)
        world.start_proxy()
        client = Client.from_kubeconfig(processes.kubeconfig, "test")
        done, threads = threading.Event(), []
        try:
            await world.create_service(client)
            await world.until_answered_by(*ENDPOINTS)
            threads = world.traffic(done)
            await world.until_busy()
            yield world
            await world.until_busy()
        finally:
            done.set()
            for thread in threads:
                await asyncio.to_thread(thread.join, 30)
            await client.close()
    world.check()


Run = Callable[[Callable[[Healing], Coroutine[Any, Any, None]]], None]
"""Has something done in a world."""


@contextmanager
def standing(mode: str) -> Iterator[Run]:
    """A world in a loop and thread of its own."""
    started: Future[tuple[Healing, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main(rig: Rig) -> None:
        async with healing(rig, mode) as world:
            done = asyncio.Event()
            started.set_result((world, asyncio.get_running_loop(), done))
            await done.wait()

    with new_rig() as rig, ExitStack() as servers, ThreadPoolExecutor(1) as thread:
        for pod in rig.pods.values():
            servers.enter_context(staying_echo(pod, STAYING))
        ended = thread.submit(netns.call, rig.node, lambda: asyncio.run(main(rig)))
        either: list[Future[Any]] = [ended, started]
        if ended in wait(either, return_when=FIRST_COMPLETED).done:
            ended.result()
        world, loop, done = started.result()
        try:
            yield lambda body: asyncio.run_coroutine_threadsafe(asyncio.wait_for(body(world), 90), loop).result()
        finally:
            loop.call_soon_threadsafe(done.set)
            ended.result()


@pytest.fixture(scope="module")
def worlds() -> Iterator[Callable[[str], Run]]:
    """One world for all that is done in a mode: the same daemon mends it every time. It goes when another is wanted."""
    with ExitStack() as stack:
        found: dict[str, Run] = {}

        def world(mode: str) -> Run:
            if mode not in found:
                found.clear()
                stack.close()
                found[mode] = stack.enter_context(standing(mode))
            return found[mode]

        yield world


SVC = "$(iptables{0}-save -t nat | grep -o '^:KUBE-SVC-[A-Z0-9]*' | head -1 | cut -c2-)"
SEP = "$(iptables{0}-save -t nat | grep -o '^:KUBE-SEP-[A-Z0-9]*' | head -1 | cut -c2-)"
IPTABLES = (
    "iptables{0} -F",
    "iptables{0} -t nat -F",
    f"iptables{{0}} -t nat -F {SVC}",
    f"iptables{{0}} -t nat -F {SEP}",
    f"iptables{{0}} -t nat -D {SVC} 1",
    f"iptables{{0}} -t nat -I {SVC} -j RETURN",
    "iptables{0} -t nat -D PREROUTING 1",
    "iptables{0} -t nat -F KUBE-POSTROUTING",
    "iptables{0} -t nat -F; iptables{0} -t nat -X",
)
DAMAGES = {
    "nftables": (
        "nft flush ruleset",
        "nft delete table ip wherry-proxy",
        "nft flush table ip wherry-proxy",
        "nft flush chain ip wherry-proxy service-dispatch",
        "nft flush map ip wherry-proxy services",
        "nft flush map ip wherry-proxy endpoints-tcp",
        "nft delete element ip wherry-proxy endpoints-tcp "
        "{ $(nft list map ip wherry-proxy endpoints-tcp | grep -om1 '10[.]96[^:]*') }",
        "nft flush set ip wherry-proxy cluster-ips",
        "nft insert rule ip wherry-proxy service-dispatch return",
        "nft add element ip wherry-proxy cluster-ips { 192.0.2.77 }",
        "nft add table ip wherry-proxy '{ flags dormant; }'",
        "nft delete chain ip wherry-proxy nat-prerouting",
    ),
    "iptables": (*(line.format("") for line in IPTABLES), "nft flush ruleset", "nft delete table ip nat"),
    "iptables, legacy": tuple(line.format("-legacy") for line in IPTABLES),
}


@root
@pytest.mark.kernel
@pytest.mark.parametrize(("mode", "damage"), [(m, d) for m, damages in DAMAGES.items() for d in damages])
def test_foreign_changes_are_mended_and_fail_no_connection(
    worlds: Callable[[str], Run], mode: str, damage: str
) -> None:
    async def body(world: Healing) -> None:
        before = await world.rules()
        assert len(before) > 10
        await world.damage(damage)
        seconds = await world.until_mended(before)
        failed = f"{len(world.failed)} of {world.begun} new connections failed"
        print(f"{mode}: {damage}: {seconds * 1000:.0f} ms; {failed}")
        await world.until_busy()
        world.check()

    worlds(mode)(body)


@root
@pytest.mark.kernel
@pytest.mark.parametrize("mode", BACKENDS)
def test_our_own_changes_are_not_taken_for_anybody_elses(worlds: Callable[[str], Run], mode: str) -> None:
    async def body(world: Healing) -> None:
        client = Client.from_kubeconfig(world.processes.kubeconfig, "test")
        rules, before = await world.rules(), world.noticed()
        for turn in range(20):
            await world.set_endpoints(client, *ENDPOINTS[: 1 + turn % 2])
            if turn == 10:
                await world.damage("nft flush ruleset" if world.settings["mode"] == "nftables" else "iptables -F")
        await world.set_endpoints(client, *ENDPOINTS)
        await world.until_mended(rules)
        await client.close()
        assert world.noticed() - before <= 2, "one flush, told in one or two pieces"

    worlds(mode)(body)


GROUNDS = {Family.IPV4: Ground(Family.IPV4)}


def transaction(owner: str = "nft", **what: Any) -> Transaction:
    return Transaction(owner, **what)


SERVICES = (Family.IPV4, "nat", "KUBE-SERVICES")


@pytest.mark.parametrize(
    ("told", "damage"),
    [
        (None, UNKNOWN),
        (transaction(deleted_tables={(2, "nat")}), Damage(everything=True)),
        (transaction(deleted_tables={(10, "nat")}), NO_DAMAGE),
        (transaction(touched_chains={(2, "nat", "KUBE-SERVICES")}), Damage(frozenset({SERVICES}))),
        (transaction(touched_chains={(2, "nat", "DOCKER"), (2, "mangle", "KUBE-SERVICES")}), NO_DAMAGE),
        (transaction(touched_chains={(2, "nat", "PREROUTING")}), NO_DAMAGE),
        (
            transaction(lost_chains={(2, "nat", "PREROUTING")}),
            Damage(jumps=frozenset({(Family.IPV4, "nat", "PREROUTING")})),
        ),
        (transaction(lost_chains={(2, "nat", "DOCKER")}), NO_DAMAGE),
    ],
)
def test_what_a_transaction_of_others_may_have_done(told: Transaction | None, damage: Damage) -> None:
    assert judge(told, GROUNDS) == damage


def test_only_what_is_broken_is_written() -> None:
    ground = Ground(Family.IPV4)
    pieces = [(Key("nat", "KUBE-SVC-A"), ("-j KUBE-SEP-A",)), (Key("nat", "KUBE-SVC-B"), ("-j KUBE-SEP-B",))]
    text = diff.repair(pieces, ground, {"nat": {"KUBE-SVC-A", "KUBE-SVC-OLD"}}, [base.JUMPS[0]])
    assert text == (
        "*nat\n:KUBE-SVC-A - [0:0]\n:KUBE-SVC-OLD - [0:0]\n-A KUBE-SVC-A -j KUBE-SEP-A\n-X KUBE-SVC-OLD\nCOMMIT\n"
        f"*filter\n-I INPUT {base.JUMPS[0].rule}\nCOMMIT\n"
    )
    assert diff.repair(pieces, ground, {"nat": set()}, []) == ""


@root
@pytest.mark.kernel
def test_after_notifications_were_lost_the_next_are_read_right() -> None:
    with new_rig() as rig:
        listener = Listener(rig.node)
        # What fits the smallest buffer is soon too much.
        listener._socket.setsockopt(socket.SOL_SOCKET, 33, 1)
        many = "".join(f"add chain ip flood c{n}\n" for n in range(2000))
        netns.call(rig.node, lambda: subprocess.run(["nft", "add table ip flood\n" + many], check=True))
        assert list(listener.drain()) == [None]
        netns.call(rig.node, lambda: subprocess.run(["nft", "add chain ip flood last"], check=True))
        (seen,) = listener.drain()
        assert seen is not None and seen.touched_chains == {(2, "flood", "last")}
        listener.close()


def test_more_transactions_than_we_wrote_are_not_all_ours() -> None:
    own, other = transaction("iptables-restor"), transaction("iptables")
    assert foreign([own, own], written=2) == []
    assert foreign([own, other], written=1) == [other]
    assert foreign([own, own, own], written=2) == [own, own, own]
    assert foreign([own, None], written=1) == [None]


def test_a_flow_past_the_rules_is_one_that_its_own_address_answers() -> None:
    vip = ("10.96.0.9", 80)
    gone = Flow(6, vip, vip, b"")
    good = Flow(6, vip, ("10.244.1.5", 8080), b"")
    other = Flow(6, ("10.96.0.9", 81), ("10.96.0.9", 81), b"")
    assert conntrack.untranslated([gone, good, other], {(6, *vip)}) == [gone]
