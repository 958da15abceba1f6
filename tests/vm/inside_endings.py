"""Run in the guest by test_ipvs: connections live on when their endpoint goes, and when the mode does."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from apimachinery.kit import netns
from netproxy import modes
from netproxy.ipvs.apply import IpvsMode
from netproxy.modes import Options as ModeOptions
from tests.conftest import SLOWNESS
from tests.netproxy.rig import NODE_IP, PODS, Rig
from tests.netproxy.test_kernel import GROUND, VIP, of, route
from tests.vm.ipvs import node, run
from tests.waiting import SECONDS, until

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

        async def gone() -> bool:
            return PODS[0] not in await node(rig, "ipvsadm -Sn")

        await until(gone, 40 * SLOWNESS, f"{PODS[0]} is forgotten", 0.5)
        watching.cancel()

    run(body)


async def more(answers: list[str], failures: list[str]) -> None:
    """Until connections that began after a change have been answered, too; or one failed."""
    wanted = len(answers) + 10
    await until(lambda: failures or len(answers) >= wanted, SECONDS * SLOWNESS, f"{wanted} answers")


@pytest.mark.parametrize("other", ["nftables", "iptables"])
def test_a_change_of_modes_there_and_back_fails_no_connection(other: str) -> None:
    async def body(rig: Rig, mode: IpvsMode) -> None:
        routes = of(route(*PODS, node_port=30080))
        theirs = modes.make(other, (GROUND,), rig.node, ModeOptions())
        await theirs.open()
        await theirs.rebuild(routes)
        with rig.loaded((VIP, 80), (NODE_IP, 30080)) as (answers, failures):
            for _ in range(2):
                await mode.rebuild(routes)
                await theirs.cleanup()
                await more(answers, failures)
                await theirs.rebuild(routes)
                await mode.cleanup(30.0)
                await more(answers, failures)
        print(f"{other}: {len(answers)} connections")
        assert failures == []
        theirs.close()

    run(body)
