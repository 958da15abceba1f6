"""Run in the guest by test_ipvs: what IPVS mode can be told."""

from __future__ import annotations

import contextlib
import socket
import subprocess

import pytest

from apimachinery.kit import netns
from netproxy.ipvs.apply import IpvsMode
from netproxy.ipvs.options import Options
from tests.conftest import SLOWNESS
from tests.netproxy.rig import PODS, Rig
from tests.netproxy.test_kernel import GROUND, VIP, of, route
from tests.vm.ipvs import node, run

pytestmark = pytest.mark.vm
MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "dummy", "veth", "br_netfilter", "nf_conntrack", "overlay")
EVEN, STEADY, OTHER = ("rr", "wrr", "lc", "wlc", "sed", "nq"), ("sh", "dh"), ("mh", "lblc", "lblcr", "fo", "ovf")
"""schedulers: held connections go to everybody; a client comes to the same endpoint again; neither"""


@pytest.mark.parametrize("module", MODULES)
def test_the_kernel_has_the_module(module: str) -> None:
    subprocess.run(["modprobe", module], timeout=120, check=True)


def test_every_scheduler_that_the_kernel_has_does_what_it_is_for() -> None:
    async def body(rig: Rig, _mode: IpvsMode) -> None:
        for number, scheduler in enumerate((*EVEN, *STEADY, *OTHER)):
            mode, vip = IpvsMode((GROUND,), rig.node, "", Options(scheduler)), f"10.96.0.{100 + number}"
            await mode.open()
            await mode.prepare()
            # Another address for each: the kernel knows nothing of it yet.
            await mode.rebuild(of(route(*PODS, vip=vip)))
            assert f"-s {scheduler}\n" in (await node(rig, "ipvsadm -Sn")).replace(" -b mh-port", "")
            if scheduler in EVEN:
                assert _held(rig, vip, len(PODS)) == sorted(PODS), scheduler
            elif scheduler in STEADY:
                assert len(rig.who(rig.client, vip, 80, 6)) == 1, scheduler
            elif scheduler == "mh":
                assert len(rig.who(rig.client, vip, 80, 20)) > 1, "a client's port counts"
            else:
                assert rig.ask(rig.client, vip, 80)[0] in PODS, scheduler
            mode.close()

    run(body)


def _held(rig: Rig, vip: str, count: int) -> list[str]:
    """Who answers so many connections that stay."""
    found = []
    with contextlib.ExitStack() as open_ones:
        for _ in range(count):
            handle = open_ones.enter_context(netns.open_socket(rig.client, socket.AF_INET, socket.SOCK_STREAM))
            handle.settimeout(10 * SLOWNESS)
            handle.connect((vip, 80))
            found.append(handle.recv(100).decode().split()[0])
    return sorted(found)


def test_settings_timeouts_and_excluded_ranges() -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        await node(rig, "modprobe ip_vs; ipvsadm -A -t 198.51.100.7:443 -s rr; ipvsadm -A -t 198.51.101.7:443 -s rr")
        await mode.rebuild(of(route(*PODS)))
        table = await node(rig, "ipvsadm -Ln --timeout; ipvsadm -Sn")
        assert "901 121 301" in table.replace("Timeout (tcp tcpfin udp):", "")
        assert "198.51.100.7" in table and "198.51.101.7" not in table
        seen = await node(rig, "sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce")
        assert seen.split() == ["1", "2"]
        # A set that somebody else asks cannot go; it keeps no other.
        await node(rig, "iptables -A INPUT -m set --match-set KUBE-CLUSTER-IP dst -j LOG")
        await mode.cleanup()
        assert (await node(rig, "ipset list -n")).split() == ["KUBE-CLUSTER-IP"]
        left = await node(rig, "ipvsadm -Sn; ip -br link; iptables-save | grep -v LOG")
        assert "198.51.100.7" in left
        assert all(word not in left for word in (VIP, "kube-ipvs0", "KUBE", "WHERRY")), left

    run(body, Options("rr", True, ("198.51.100.0/24",), 901, 121, 301))
