"""Run in the guest by test_ipvs: what others do to IPVS mode's servers, sets, addresses and rules is mended."""

from __future__ import annotations

import asyncio
import time

import pytest

from netproxy.ipvs.apply import IpvsMode
from tests.conftest import SLOWNESS
from tests.netproxy.rig import PODS, Rig
from tests.netproxy.test_kernel import VIP, of, route
from tests.vm.ipvs import node, run
from tests.waiting import until

pytestmark = pytest.mark.vm

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


def test_whatever_others_do_is_noticed_and_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        routes = of(route(*PODS, node_port=30080))
        lost, took = asyncio.Event(), {}
        await mode.rebuild(routes)
        mended, looks, look = asyncio.Event(), list[object](), mode._host.fingerprint

        def counted() -> object:
            looks.append(look())
            return looks[-1]

        monkeypatch.setattr(mode._host, "fingerprint", counted)
        watching = asyncio.ensure_future(mode.watch(lost.set, mended.set))
        await until(lambda: len(looks) >= 2, 30 * SLOWNESS, "it looks")
        assert not lost.is_set(), "nobody did anything"
        for what, words in DAMAGE.items():
            before = await state(rig)
            lost.clear()
            mended.clear()
            await node(rig, words)
            began = time.monotonic()
            told = [asyncio.ensure_future(event.wait()) for event in (lost, mended)]
            done, _ = await asyncio.wait(told, timeout=30 * SLOWNESS, return_when=asyncio.FIRST_COMPLETED)
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
