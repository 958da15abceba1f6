"""Load balancers of real network namespaces: a client beside the nodes keeps getting answers, whoever announces."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, routes
from lab import names, network, state
from lab.cloud.announcer import Announcer
from lab.cloud.balancers import LabBalancers, pool_of
from lab.cloud.plan import Range, Shift
from lab.components import PROXY_HEALTH_PORT
from lab.paths import Paths
from lab.spec import Spec
from tests.lab.outsider import Outsider, outsider
from tests.lab.test_spec import make
from tests.waiting import WHOLE, eventually, until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

LAB = "whtcl"
PORT, CHECK = 80, 30080


@contextmanager
def nodes(count: int) -> Iterator[tuple[Spec, Outsider]]:
    """The links of a lab, and beside its nodes a client that is none."""
    spec = make(name=LAB, node_count=count, in_use=network.networks_in_use())
    try:
        network.fence(spec)
        network.make_bridge(spec)
        for node in spec.nodes:
            network.make_node(spec, node, 0)
        with outsider(spec) as client:
            yield spec, client
    finally:
        for node in spec.nodes:
            network.remove_node(LAB, node.name)
        network.remove_links(LAB)
        network.unfence(LAB, ())


def path_of(node: str) -> Path:
    return netns.path_of(names.namespace(LAB, node))


async def listen(node: str, port: int, text: str) -> asyncio.Server:
    """A server in the node's namespace that says this, whatever it is asked."""
    wire = netns.open_socket(path_of(node), socket.AF_INET, socket.SOCK_STREAM)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    wire.bind(("0.0.0.0", port))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        writer.close()

    return await asyncio.start_server(answer, sock=wire)


def service(**spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "default", "uid": "1"}
    return {"metadata": meta, "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], **spec}}


def objects(spec: Spec) -> list[dict[str, Any]]:
    return [{"metadata": {"name": node.name}} for node in spec.nodes]


def test_an_address_moves_from_whoever_fails_and_outlives_its_daemon(tmp_path: Path) -> None:
    async def scenario(spec: Spec, client: Outsider) -> None:
        paths = Paths(LAB, tmp_path)
        state.save(paths, spec)
        well = {node.name: await listen(node.name, CHECK, "HTTP/1.0 200 OK\r\n\r\n") for node in spec.nodes}
        for node in spec.nodes:
            await listen(node.name, PORT, node.name)
        announcer = Announcer(LAB)
        balancers = LabBalancers(paths, announcer, period=0.2)
        working = asyncio.ensure_future(balancers.run())
        local = service(externalTrafficPolicy="Local", healthCheckNodePort=CHECK)
        made = await balancers.ensure(local, objects(spec))
        (address,) = [each["ip"] for each in made["ingress"]]
        assert made == {"ingress": [{"ip": spec.balancer_ranges[0][0], "ipMode": "VIP"}]}

        async def answers() -> str:
            return await asyncio.to_thread(client.ask, address)

        first = await until(answers)
        # It fails its checks, and still answers for its other addresses.
        well[first].close()
        second = await until(lambda: _other(answers, first))
        # Its cable is pulled: nobody hears it any more, and the client has learnt its link address.
        network.set_link(spec, spec.node(second), up=False)
        third = await until(lambda: _other(answers, second))
        assert len({first, second, third}) == 3
        # What the daemon knew is on disk and in the kernel: the next one changes nothing.
        working.cancel()
        await asyncio.wait((working,))
        before = announcer.there(well, pool_of(spec))
        assert before == {first: set(), second: set(), third: {address}}
        balancers = LabBalancers(paths, announcer, period=0.2)
        assert await balancers.get(local) == made
        working = asyncio.ensure_future(balancers.run())
        well[first] = await listen(first, CHECK, "HTTP/1.0 200 OK\r\n\r\n")
        await until(lambda: balancers.is_well(first, CHECK))
        assert announcer.there(well, pool_of(spec)) == before and await answers() == third
        await balancers.delete(local)
        assert announcer.there(well, pool_of(spec)) == {node: set() for node in well}
        assert await balancers.get(local) is None
        working.cancel()

    with nodes(3) as (spec, client):
        asyncio.run(asyncio.wait_for(scenario(spec, client), WHOLE))


async def _other(answers: Any, before: str) -> str:
    now = str(await answers())
    return "" if now == before else now


def test_both_families_are_answered_for_and_announced_and_never_sent_from() -> None:
    with nodes(2) as (spec, client):
        announcer = Announcer(LAB)
        four = spec.balancer_ranges[0][0]
        prefix = "fd00:89::"
        for address, own in ((four, ""), (f"{prefix}21", prefix)):
            _own_addresses(client, own)
            for node in ("node1", "node2"):
                there = announcer.there(("node1", "node2"), [_just(address)])
                taken = tuple((each, address) for each, held in there.items() if held)
                given = announcer.carry_out(Shift(taken, ((node, address),)))
                assert given == [(node, address)]
                announcer.announce(node, address)
                eventually(partial(_leads, client, address, node), what=f"{address} is {node}'s")
            # A way out by this link begins at the node's own address.
            assert _source("node2", f"{own}5" if own else spec.gateway) != address


def _leads(client: Outsider, address: str, node: str) -> bool:
    return client.neighbour(address) == _mac(node)


def _just(address: str) -> Range:
    return Range(ipaddress.ip_address(address), ipaddress.ip_address(address))


def _own_addresses(client: Outsider, prefix: str) -> None:
    """IPv6 for the client and the nodes, where a prefix is given."""
    for number, place in enumerate((client.namespace, path_of("node1"), path_of("node2"))) if prefix else ():
        with Netlink(place) as inside:
            interface = ipaddress.ip_interface(f"{prefix}{5 + number}/64")
            inside.do(routes.add_address(inside.index("eth0"), interface))


def _mac(node: str) -> str:
    with Netlink(path_of(node)) as inside:
        link = inside.link("eth0")
    assert link is not None
    return link.mac


def _source(node: str, target: str) -> str:
    family = socket.AF_INET if ipaddress.ip_address(target).version == 4 else socket.AF_INET6
    with closing(netns.open_socket(path_of(node), family, socket.SOCK_DGRAM)) as wire:
        wire.connect((target, 9))
        return str(wire.getsockname()[0])


def test_a_lost_memory_is_made_anew_from_what_services_say(tmp_path: Path) -> None:
    async def scenario(spec: Spec) -> None:
        paths = Paths(LAB, tmp_path)
        state.save(paths, spec)
        await listen("node1", PROXY_HEALTH_PORT, "HTTP/1.0 200 OK\r\n\r\n")
        told = spec.balancer_ranges[0][1]
        paths.balancers.write_text("[{]")
        again = service()
        again["status"] = {"loadBalancer": {"ingress": [{"ip": told}]}}
        balancers = LabBalancers(paths, Announcer(LAB), period=0.2)
        working = asyncio.ensure_future(balancers.run())
        made = await balancers.ensure(again, objects(spec))
        assert made["ingress"][0]["ip"] == told
        await until(lambda: Announcer(LAB).there(["node1"], pool_of(spec))["node1"] == {told})
        working.cancel()

    with nodes(1) as (spec, _):
        asyncio.run(asyncio.wait_for(scenario(spec), WHOLE))
