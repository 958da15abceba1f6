"""Run in the guest by test_ipvs: connections live on when their endpoint goes, and when the mode does."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import pytest

from apimachinery.kit import netns
from netproxy import modes
from netproxy.ipvs.apply import IpvsMode
from netproxy.modes import Options as ModeOptions
from tests.conftest import SLOWNESS
from tests.netproxy.rig import NODE_IP, PODS, Rig
from tests.netproxy.test_kernel import GROUND, VIP, loaded, of, route
from tests.vm.ipvs import node, run

pytestmark = pytest.mark.vm


def test_a_connection_outlives_its_endpoint_in_the_list_and_the_endpoint_goes_with_it() -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        await mode.rebuild(of(route(PODS[0])))
        with netns.open_socket(rig.client, socket.AF_INET, socket.SOCK_STREAM) as handle:
            handle.settimeout(10 * SLOWNESS)
            handle.connect((VIP, 80))
            await mode.change(of(route(PODS[2])))
            assert handle.recv(100).decode().startswith(PODS[0]), "it still speaks to whom it spoke"
            assert set(rig.who(rig.client, VIP, 80, 5)) == {PODS[2]}
            assert f"-r {PODS[0]}:8080 -m -w 0" in await node(rig, "ipvsadm -Sn")
            # A connection that is reset is forgotten after ten seconds, one that ends after two minutes.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        watching = asyncio.ensure_future(mode._see_off())
        deadline = time.monotonic() + 40 * SLOWNESS
        while PODS[0] in await node(rig, "ipvsadm -Sn"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        watching.cancel()

    run(body)


@pytest.mark.parametrize("other", ["nftables", "iptables"])
def test_a_change_of_modes_there_and_back_fails_no_connection(other: str) -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        routes = of(route(*PODS, node_port=30080))
        theirs = modes.make(other, (GROUND,), rig.node, ModeOptions())
        await theirs.open()
        await theirs.rebuild(routes)
        with loaded(rig, ((VIP, 80), (NODE_IP, 30080))) as (answers, failures):
            for _ in range(2):
                await mode.rebuild(routes)
                await theirs.cleanup()
                await asyncio.sleep(2)
                await theirs.rebuild(routes)
                await mode.cleanup(30.0)
                await asyncio.sleep(2)
        print(f"{other}: {len(answers)} connections")
        assert failures == [] and len(answers) > 20
        theirs.close()

    run(body)
