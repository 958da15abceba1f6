"""Preflight of a machine of one's own: each thing that is wrong is named with its mend."""

from __future__ import annotations

import asyncio
import dataclasses
import email.utils
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery import pki
from lab.standalone import facts, preflight
from lab.standalone.facts import Answer, Facts, Link
from lab.standalone.settings import Node, Server

OWN = "192.0.2.11"
NODE = Node(server="https://192.0.2.10:6443")
ETH1 = Link("eth1", 1500, (ipaddress.IPv4Interface(f"{OWN}/24"),))
GOOD = Facts(links=(ETH1,), default_routes=("eth1",), memory=2 << 30)


def link(name: str, *addresses: str, mtu: int = 1500) -> Link:
    return Link(name, mtu, tuple(map(ipaddress.IPv4Interface, addresses)))


def test_a_good_machine_has_nothing_told_of_it():
    assert preflight.of_node(NODE, OWN, GOOD, Answer()) == []
    assert preflight.of_server(Server(), OWN, GOOD) == []


def test_what_pods_and_services_have_on_their_node_is_no_overlap():
    lo = link("lo", "127.0.0.1/8", "10.96.0.10/32", mtu=65536)
    ours = (lo, link("cni0", "10.244.1.1/24"), link("kube-ipvs0", "10.96.0.1/32"))
    assert preflight.of_node(NODE, OWN, dataclasses.replace(GOOD, links=(ETH1, *ours)), Answer()) == []


@pytest.mark.parametrize(
    ("changed", "told", "fatal"),
    [
        ({"links": (link("eth0", "10.0.2.15/24"),)}, f"no interface of this machine has {OWN} (eth0 10.0.2.15)", True),
        ({"links": ()}, "none has any", True),
        ({"links": (link("eth1", f"{OWN}/24", "192.0.2.137/24"),)}, "DHCP server", False),
        ({"links": (ETH1, link("eth0", "10.244.7.5/16"))}, "--pod-cidr 10.244.0.0/16 overlaps 10.244.0.0/16", True),
        ({"links": (ETH1, link("eth0", "10.96.7.5/24"))}, "--service-cidr 10.96.0.0/16 overlaps 10.96.7.0/24", True),
        ({"default_routes": ()}, "no default route", False),
        ({"default_routes": ("eth0", "eth1")}, "default routes go through eth0, eth1", False),
        ({"firewall": "ufw"}, "ufw is on", False),
        ({"memory": 512 << 20}, "512 MB of memory and 700 are needed", False),
        ({"swap": True}, "swapoff -a", False),
        ({"links": (link("eth1", f"{OWN}/24", mtu=1450),)}, "--set 'network={mtu: 1450}'", False),
    ],
)
def test_what_is_wrong_with_a_machine_is_told_with_its_mend(changed: dict[str, Any], told: str, fatal: bool):
    (found,) = preflight.of_node(NODE, OWN, dataclasses.replace(GOOD, **changed), Answer())
    assert told in found.text
    assert found.fatal is fatal


def test_an_mtu_that_was_chosen_is_no_finding():
    small = dataclasses.replace(GOOD, links=(link("eth1", f"{OWN}/24", mtu=1450),))
    assert preflight.of_node(dataclasses.replace(NODE, network={"mtu": 1450}), OWN, small, Answer()) == []


@pytest.mark.parametrize(
    ("answer", "told", "fatal"),
    [
        (Answer(problem="Connection refused"), "does not answer yet (Connection refused)", False),
        (Answer(clock_ahead=30), "30 s ahead of", False),
        (Answer(clock_ahead=-3600), "3600 s behind", True),
    ],
)
def test_what_is_wrong_between_a_node_and_its_server_is_told(answer: Answer, told: str, fatal: bool):
    (found,) = preflight.of_node(NODE, OWN, GOOD, answer)
    assert told in found.text
    assert found.fatal is fatal


@asynccontextmanager
async def server(answer: bytes, work: Path) -> AsyncIterator[str]:
    """An HTTPS server of an authority that nobody knows, which says that to whoever comes."""
    own = pki.issue(pki.new_ca("somebody"), "server", ips=("127.0.0.1",), server=True)
    for name, text in (("crt", own.cert_pem), ("key", own.key_pem)):
        (work / name).write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "crt", work / "key")

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(told, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def asked(answer: bytes, work: Path) -> Answer:
    async def ask() -> Answer:
        async with server(answer, work) as url:
            return await facts.ask(url)

    return asyncio.run(ask())


def test_an_api_servers_clock_is_read_from_its_answer(tmp_path: Path):
    date = email.utils.formatdate(time.time() - 3600, usegmt=True)
    answer = f"HTTP/1.1 401 Unauthorized\r\nServer: x\r\nDate: {date}\r\n\r\n".encode()
    assert asked(answer, tmp_path).clock_ahead == pytest.approx(3600, abs=30)


def test_who_does_not_answer_is_told_and_who_names_no_time_is_not_judged(tmp_path: Path):
    assert "speaks no HTTP" in asked(b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", tmp_path).problem
    assert asked(b"HTTP/1.1 200 OK\r\n\r\n", tmp_path) == Answer()
    assert "refused" in asyncio.run(facts.ask("https://127.0.0.1:1")).problem


def test_this_machine_can_be_read():
    found = facts.read()
    assert any(str(each.ip) == "127.0.0.1" for link in found.links for each in link.addresses)
    assert found.memory > 0
