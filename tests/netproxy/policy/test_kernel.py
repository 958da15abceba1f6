"""Real packets past real rules: every direction, protocol and Service mode, while rules change and are flushed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import command, netns
from netproxy import modes
from netproxy.policy.enforcer import Enforcer
from netproxy.policy.tracker import PolicyTracker
from tests.conftest import SLOWNESS
from tests.netproxy.policy.world import GROUNDS, namespace, pod, policy
from tests.netproxy.rig import BRIEF, CLIENT_IP, IN_KERNEL, NODE_IP, PATIENT, PODS, Rig, new_rig
from tests.netproxy.test_kernel import GROUND, VIP, of, route
from tests.waiting import SECONDS

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
HERE, BESIDE, THERE = PODS
"""x/a and x/b of this node, y/a as if another's"""


class Enforced:
    """This node's rules, and what has been said so far."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.tracker = PolicyTracker("node1", lambda: None)
        self.enforcer = Enforcer(self.tracker, GROUNDS, rig.node)
        self._said: dict[str, Any] = {}

    async def begin(self) -> None:
        await self.enforcer.open()
        self.tracker.ranges_changed(("10.244.1.0/24",))
        for space in "xy":
            self.tracker.namespace_changed(None, namespace(space))
        self.tracker.pod_changed(None, pod("x", "a", HERE, ports=[("web", 8080, "TCP"), ("talk", 8080, "UDP")]))
        self.tracker.pod_changed(None, pod("x", "b", BESIDE))
        self.tracker.pod_changed(None, pod("y", "a", THERE, "node2"))

    async def say(self, **spec: Any) -> None:
        """The one policy of namespace x from now on; none without words."""
        new = policy("x", **spec) if spec else None
        self.tracker.policy_changed(self._said or None, new)
        self._said = new or {}
        await self.enforcer.sync()

    def passes(self, source: Path, target: str, port: int = 8080) -> bool:
        """Expected: as long as a slow machine needs."""
        return self.rig.outcome(source, target, port) == "answered"

    def is_stopped(self, source: Path, target: str, port: int = 8080) -> bool:
        return self.rig.outcome(source, target, port, BRIEF) != "answered"

    def only(self, passing: Sequence[Path], sources: Sequence[Path], target: str) -> bool:
        """Whether of all sources just these get through."""
        return all(self.passes(s, target) if s in passing else self.is_stopped(s, target) for s in sources)


@contextlib.asynccontextmanager
async def enforced() -> AsyncIterator[Enforced]:
    with new_rig() as rig:
        await rig.wire()
        await rig.ip(rig.client, f"route add 10.244.0.0/16 via {NODE_IP}")
        made = Enforced(rig)
        await made.begin()
        try:
            yield made
        finally:
            made.enforcer.close()


def run(body: Callable[[Enforced], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with enforced() as made:
            await asyncio.wait_for(body(made), 90 * SLOWNESS)

    asyncio.run(main())


SELECT = {"matchLabels": {"pod": "a"}}


def test_who_gets_through() -> None:
    async def body(on: Enforced) -> None:
        rig, a, b, c = on.rig, *on.rig.pods.values()
        everyone = (rig.client, rig.node, b, c)
        assert all(on.passes(w, HERE) for w in everyone)
        await on.say(podSelector=SELECT)
        assert on.only([rig.node], everyone, HERE), "its own node alone"
        assert on.passes(a, BESIDE) and on.passes(a, THERE), "ingress says nothing of egress"
        await on.say(podSelector=SELECT, ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": "web"}]}])
        assert on.only([rig.node, b], everyone, HERE)
        blocked = {"ipBlock": {"cidr": "10.0.0.0/8", "except": [f"{THERE}/32"]}}
        await on.say(podSelector=SELECT, ingress=[{"from": [blocked], "ports": [{"port": 8000, "endPort": 8080}]}])
        assert on.only([rig.client, rig.node, b], everyone, HERE)
        peer = {"namespaceSelector": {"matchLabels": {"ns": "y"}}}
        await on.say(podSelector=SELECT, policyTypes=["Egress"], egress=[{"to": [peer]}])
        assert on.passes(a, THERE) and on.is_stopped(a, BESIDE) and on.passes(b, HERE)
        with netns.open_socket(rig.node, socket.AF_INET, socket.SOCK_STREAM) as server:
            server.bind((NODE_IP, 8080))
            server.listen()
            assert rig.outcome(a, NODE_IP, 8080, BRIEF) == "silence", "egress to its own node is judged"
            with netns.open_socket(b, socket.AF_INET, socket.SOCK_STREAM) as other:
                other.settimeout(60)
                other.connect((NODE_IP, 8080))
        await on.say()
        assert all(on.passes(w, HERE) for w in everyone) and on.passes(a, BESIDE)
        tables = await command.run(["nsenter", f"--net={rig.node}", "nft", "list", "tables"], timeout=60)
        assert b"policy" not in tables.stdout

    run(body)


def test_udp_and_sctp_and_a_connection_that_began_before() -> None:
    async def body(on: Enforced) -> None:
        a, b, _ = on.rig.pods.values()
        # The kernel follows connections only where rules ask about them.
        await on.say(podSelector=SELECT, ingress=[{}])
        stays = netns.open_socket(b, socket.AF_INET, socket.SOCK_STREAM)
        # Less than a minute, after which the other side ends what nothing comes by.
        stays.settimeout(30)
        stays.connect((HERE, 8080))
        # One packet each way has been seen when the answer is there.
        assert stays.recv(100)
        heard = netns.open_socket(a, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        raw = netns.open_socket(b, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        talk = on.rig.udp(b)

        def sctp(port: int, within: float = PATIENT) -> bool:
            chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
            raw.sendto(struct.pack("!HHII", 4000 + port, port, 0, 0) + chunk, (HERE, 0))
            heard.settimeout(within)
            with contextlib.suppress(OSError):
                return bool(heard.recv(200))
            return False

        def udp(within: float = PATIENT) -> bool:
            talk.settimeout(within)
            talk.sendto(b"x", (HERE, 8080))
            with contextlib.suppress(OSError):
                return bool(talk.recv(100))
            return False

        assert sctp(7)
        await on.say(podSelector=SELECT, ingress=[{"ports": [{"protocol": "SCTP", "port": 9}]}])
        assert not udp(BRIEF) and sctp(9) and not sctp(8, BRIEF)
        await on.say(podSelector=SELECT, ingress=[{"ports": [{"protocol": "UDP", "port": "talk"}]}])
        assert udp() and not sctp(10, BRIEF)
        stays.sendall(b"x")
        assert stays.recv(1) == b"", "it may go on until its end"
        for handle in (stays, heard, raw):
            handle.close()

    run(body)


@pytest.mark.parametrize("mode_name", IN_KERNEL)
def test_the_verdict_is_about_where_a_service_leads(mode_name: str) -> None:
    async def body(on: Enforced) -> None:
        rig, (a, b, c) = on.rig, on.rig.pods.values()
        mode = modes.make(mode_name, (GROUND,), rig.node)
        await mode.open()
        try:
            await mode.rebuild(of(route(HERE, node_port=30080), route(BESIDE, name="b", vip="10.96.0.101")))
            await on.say(podSelector=SELECT, ingress=[{"from": [{"podSelector": {}}]}])
            assert on.passes(b, VIP, 80) and on.passes(rig.node, VIP, 80) and on.is_stopped(c, VIP, 80)
            assert on.passes(a, VIP, 80), "a pod may speak to itself, through its Service, too"
            assert on.is_stopped(rig.client, NODE_IP, 30080)
            await on.say(podSelector=SELECT, ingress=[{"from": [{"ipBlock": {"cidr": f"{CLIENT_IP}/32"}}]}])
            assert on.passes(rig.client, NODE_IP, 30080), "the client's own address is judged, not the node's"
            await on.say(
                podSelector=SELECT, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": f"{BESIDE}/32"}}]}]
            )
            assert on.passes(a, "10.96.0.101", 80) and on.is_stopped(a, THERE)
        finally:
            mode.close()

    run(body)


def test_an_address_that_nobody_has_waits_until_it_is_known() -> None:
    async def body(on: Enforced) -> None:
        rig, (_, b, c) = on.rig, on.rig.pods.values()
        on.tracker.pod_changed(pod("x", "b", BESIDE), pod("x", "b", ""))
        await on.say(podSelector=SELECT, ingress=[{}])
        assert on.is_stopped(b, THERE) and on.is_stopped(c, BESIDE)
        assert on.passes(rig.node, BESIDE), "its node may look whether it is well"
        trying = asyncio.ensure_future(asyncio.to_thread(rig.outcome, b, THERE, 8080))
        on.tracker.told_addresses("x/b", (BESIDE,))
        await on.enforcer.sync()
        assert await trying == "answered", "its first packet waited, and was not refused"

    run(body)


@pytest.mark.parametrize(
    "damage", ["nft flush ruleset", "nft flush chain ip wherry-policy from-pods", "nft delete table ip wherry-policy"]
)
def test_what_a_stranger_takes_away_comes_back(damage: str) -> None:
    async def body(on: Enforced) -> None:
        await on.say(podSelector=SELECT, policyTypes=["Ingress", "Egress"])
        lost = asyncio.Event()
        watching = asyncio.ensure_future(on.enforcer.watch(lost.set))
        await asyncio.sleep(0)
        await command.run(["nsenter", f"--net={on.rig.node}", *damage.split()], timeout=60)
        await asyncio.wait_for(lost.wait(), SECONDS)
        on.enforcer.doubt()
        await on.enforcer.sync()
        a, b, _ = on.rig.pods.values()
        assert on.is_stopped(a, THERE) and on.is_stopped(b, HERE)
        # What an earlier process left is taken over in place, by whoever comes next.
        successor = Enforced(on.rig)
        await successor.begin()
        await successor.say(podSelector=SELECT, policyTypes=["Egress"])
        assert on.is_stopped(a, THERE) and on.passes(b, HERE)
        successor.enforcer.close()
        watching.cancel()

    run(body)
