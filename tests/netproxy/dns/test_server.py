"""Resolver, forwarder and sockets together, over the loopback, with upstreams that misbehave."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dnslib
import pytest

from netproxy.dns import records, upstream, wire
from netproxy.dns.forward import Forwarder, NoAnswer, nameservers
from netproxy.dns.plain import Question
from netproxy.dns.server import _TURN_SECONDS, Resolver, TcpServer, UdpServer
from netproxy.dns.settings import Dns, server_of
from tests.netproxy.dns.cluster import ZONE, ask_bytes, directory, endpoint, endpoint_slice, read, service
from tests.waiting import SECONDS

Address = tuple[str, int]
HERE = ".default.svc.cluster.local"


@dataclass
class Upstream(asyncio.DatagramProtocol):
    """A server of `zone` (name → addresses). `mood`: good, silent, liar (wrong ids), failing, short (cut over UDP)."""

    zone: Mapping[str, list[str]]
    mood: str = "good"
    ttl: int = 20
    asked: list[str] = field(default_factory=list)
    over_tcp: int = 0
    address: Address = ("", 0)
    transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = read(data)
        self.asked.append(str(query.q.qname))
        if self.mood == "liar":
            query.header.id ^= 1
        if self.mood != "silent":
            self.transport.sendto(self.answer(query, whole=self.mood != "short"), addr)

    def answer(self, query: Any, whole: bool) -> bytes:
        reply = query.reply()
        name = str(query.q.qname).rstrip(".").lower()
        if self.mood == "failing":
            reply.header.rcode = records.SERVFAIL
        elif name not in self.zone:
            reply.header.rcode = records.NXDOMAIN
            reply.add_auth(dnslib.RR("example.com", 6, rdata=dnslib.SOA("a.", "b.", (1, 1, 1, 1, self.ttl)), ttl=60))
        elif not whole:
            reply.header.tc = 1
        elif query.q.qtype == records.A:
            reply.add_answer(*(dnslib.RR(name, rdata=dnslib.A(ip), ttl=self.ttl) for ip in self.zone[name]))
        return bytes(reply.pack())

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        self.over_tcp += 1
        answer = self.answer(read(await reader.readexactly(size)), whole=True)
        writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()


def _itself(one: Upstream) -> Upstream:
    return one


@asynccontextmanager
async def upstreams(*wanted: Upstream) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    opened: list[Any] = []
    try:
        for one in wanted:
            server = await asyncio.start_server(one.serve_tcp, "127.0.0.1", 0)
            one.address = server.sockets[0].getsockname()
            opened.append(server)
            transport, _ = await loop.create_datagram_endpoint(partial(_itself, one), local_addr=one.address)
            opened.append(transport)
        yield
    finally:
        for each in opened:
            each.close()


class World:
    """The server at a port of the loopback, and a clock that the test moves."""

    def __init__(self, servers: tuple[Address, ...], stubs: Mapping[str, tuple[Address, ...]]) -> None:
        self.now = 1000.0
        self.forwarder = Forwarder(servers, Path("/dev/null"), stubs, frozenset(), lambda: self.now)
        self.directory = directory()
        self.resolver = Resolver(self.directory, ZONE, self.forwarder)
        self.directory._on_change = self.resolver.changed
        self.resolver.complete = True
        self.address: Address = ("", 0)

    async def udp(self, *queries: bytes) -> list[Any]:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            handle.setblocking(False)
            handle.connect(self.address)
            for query in queries:
                await loop.sock_sendall(handle, query)
            return [read(await asyncio.wait_for(loop.sock_recv(handle, 65535), SECONDS)) for _ in queries]

    async def ask(self, name: str, kind: str = "A", **how: Any) -> Any:
        return (await self.udp(ask_bytes(name, kind, **how)))[0]

    async def tcp(self, *queries: bytes) -> list[Any]:
        reader, writer = await asyncio.open_connection(*self.address)
        for query in queries:
            writer.write(len(query).to_bytes(2, "big") + query)
        found = [read(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))) for _ in queries]
        writer.close()
        return found


def run(
    body: Callable[[World], Awaitable[None]], *servers: Upstream, stubs: Mapping[str, Upstream] | None = None
) -> None:
    async def main() -> None:
        async with upstreams(*servers, *(stubs or {}).values()):
            chosen = {domain: (one.address,) for domain, one in (stubs or {}).items()}
            world = World(tuple(one.address for one in servers), chosen)
            server = await asyncio.start_server(TcpServer(world.resolver).serve, "127.0.0.1", 0)
            world.address = server.sockets[0].getsockname()
            handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            handle.setblocking(False)
            handle.bind(world.address)
            datagrams = UdpServer(world.resolver, handle)
            datagrams.open()
            try:
                await asyncio.wait_for(body(world), SECONDS)
            finally:
                datagrams.close()
                server.close()

    asyncio.run(main())


def ips(message: Any) -> list[str]:
    return [str(rr.rdata) for rr in message.rr]


def test_both_protocols_answer_and_one_connection_takes_many_questions() -> None:
    async def body(world: World) -> None:
        assert ips(await world.ask("web" + HERE)) == ["10.96.0.20"]
        first, second = await world.tcp(ask_bytes("web" + HERE, number=1), ask_bytes("no" + HERE, number=2))
        assert (first.header.id, ips(first)) == (1, ["10.96.0.20"])
        assert (second.header.id, second.header.rcode) == (2, records.NXDOMAIN)

    run(body)


def test_an_answer_is_as_new_as_its_objects() -> None:
    async def body(world: World) -> None:
        for _ in range(2):
            assert (await world.ask("new" + HERE)).header.rcode == records.NXDOMAIN
        made = service("new", "10.96.0.77")
        world.directory.service_changed(None, made)
        for number in (3, 4):
            seen = await world.ask("new" + HERE, number=number)
            assert (seen.header.id, ips(seen)) == (number, ["10.96.0.77"])
        world.directory.service_changed(made, None)
        assert (await world.ask("new" + HERE)).header.rcode == records.NXDOMAIN

    run(body)


def test_until_the_cluster_is_known_only_others_names_are_answered() -> None:
    far = Upstream({"www.example.com": ["192.0.2.1"]})

    async def body(world: World) -> None:
        world.resolver.complete = False
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            handle.setblocking(False)
            handle.connect(world.address)
            for number, name in enumerate(("web" + HERE, "www.example.com"), 1):
                await loop.sock_sendall(handle, ask_bytes(name, number=number))
            seen = read(await asyncio.wait_for(loop.sock_recv(handle, 65535), SECONDS))
        assert (seen.header.id, ips(seen)) == (2, ["192.0.2.1"])

    run(body, far)


def test_every_address_comes_first_now_and_then() -> None:
    async def body(world: World) -> None:
        world.directory.service_changed(None, service("many", "None"))
        endpoints = [endpoint(f"10.244.3.{n}") for n in range(1, 21)]
        world.directory.slice_changed(None, endpoint_slice("many", *endpoints))
        seen = [await world.ask("many" + HERE, edns=1232) for _ in range(60)]
        assert all(len(ips(one)) == 20 for one in seen)
        assert len({ips(one)[0] for one in seen}) >= 6

    run(body)


def test_what_is_too_long_for_udp_comes_whole_over_tcp() -> None:
    async def body(world: World) -> None:
        world.directory.service_changed(None, service("many", "None"))
        endpoints = [endpoint(f"10.244.{n // 200}.{n % 200 + 1}") for n in range(1000)]
        world.directory.slice_changed(None, endpoint_slice("many", *endpoints))
        assert (await world.ask("many" + HERE)).header.tc == 1
        (whole,) = await world.tcp(ask_bytes("many" + HERE))
        assert len(whole.rr) == 1000 and not whole.header.tc

    run(body)


@pytest.mark.parametrize(
    ("query", "rcode"),
    [
        (b"\0\x09" + ask_bytes("a.example")[2:20], records.FORMERR),
        (ask_bytes("cluster.local", "AXFR"), records.REFUSED),
        (ask_bytes("web" + HERE)[:-2] + b"\0\3", records.REFUSED),
        (b"\0\7\x28" + ask_bytes("web" + HERE)[3:], records.NOTIMP),
        (ask_bytes("www.example.com"), records.REFUSED),
    ],
)
def test_what_is_refused(query: bytes, rcode: int) -> None:
    async def body(world: World) -> None:
        (seen,) = await world.udp(query)
        assert seen.header.rcode == rcode and seen.header.qr

    run(body)


def test_others_names_are_asked_once_and_remembered_as_long_as_they_say() -> None:
    far = Upstream({"www.example.com": ["192.0.2.1"]})

    async def body(world: World) -> None:
        seen = await world.udp(*(ask_bytes("www.example.com", number=n) for n in range(5)))
        assert [ips(one) for one in seen] == [["192.0.2.1"]] * 5
        assert len(far.asked) == 1, "questions that are the same wait for one answer"
        world.now += 8
        aged = await world.ask("WWW.example.com")
        assert (aged.rr[0].ttl, aged.header.aa, len(far.asked)) == (12, 0, 1)
        world.now += 13
        await world.ask("www.example.com")
        assert len(far.asked) == 2
        for _ in range(2):
            assert (await world.ask("no.example.com")).header.rcode == records.NXDOMAIN
        assert len(far.asked) == 3, "that there is none is remembered, too"

    run(body, far)


def test_an_alias_is_followed_out_of_the_cluster() -> None:
    far = Upstream({"www.example.com": ["192.0.2.1"]})

    async def body(world: World) -> None:
        seen = await world.ask("outside" + HERE)
        assert [(str(rr.rname), str(rr.rdata)) for rr in seen.rr] == [
            ("outside" + HERE + ".", "www.example.com."),
            ("www.example.com.", "192.0.2.1"),
        ]

    run(body, far)


def test_an_alias_whose_end_nobody_knows_is_still_told() -> None:
    async def body(world: World) -> None:
        seen = await world.ask("outside" + HERE)
        assert (seen.header.rcode, ips(seen)) == (records.SERVFAIL, ["www.example.com."])

    run(body)


@pytest.mark.parametrize("mood", ["silent", "liar", "failing"])
def test_a_server_that_fails_is_passed_over_and_asked_last_for_a_while(
    mood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "UDP_SECONDS", 0.3)
    bad, good = Upstream({}, mood), Upstream({"www.example.com": ["192.0.2.1"], "b.example": ["192.0.2.2"]})

    async def body(world: World) -> None:
        assert ips(await world.ask("www.example.com")) == ["192.0.2.1"]
        before = len(bad.asked)
        assert ips(await world.ask("b.example")) == ["192.0.2.2"]
        assert len(bad.asked) == before + (mood == "failing"), "one that answers is not silent"

    run(body, bad, good)


def test_when_nobody_answers_the_asker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "UDP_SECONDS", 0.2)

    async def body(world: World) -> None:
        assert (await world.ask("www.example.com")).header.rcode == records.SERVFAIL
        assert ips(await world.ask("web" + HERE)) == ["10.96.0.20"]

    run(body, Upstream({}, "silent"))


def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    far = Upstream({"www.example.com": [f"192.0.2.{n}" for n in range(100)]}, "short")

    async def body(world: World) -> None:
        (seen,) = await world.tcp(ask_bytes("www.example.com"))
        assert (len(seen.rr), far.over_tcp) == (100, 1)
        assert (await world.ask("www.example.com")).header.tc == 1, "cut anew for who asks over UDP"

    run(body, far)


def test_stub_domains_have_servers_of_their_own() -> None:
    general = Upstream({"www.example.com": ["192.0.2.1"]})
    corp, lab = Upstream({"db.corp.example": ["192.0.2.8"]}), Upstream({"db.lab.corp.example": ["192.0.2.9"]})

    async def body(world: World) -> None:
        assert ips(await world.ask("db.corp.example")) == ["192.0.2.8"]
        assert ips(await world.ask("db.lab.corp.example")) == ["192.0.2.9"]
        assert ips(await world.ask("www.example.com")) == ["192.0.2.1"]
        assert (len(general.asked), len(corp.asked), len(lab.asked)) == (1, 1, 1)

    run(body, general, stubs={"corp.example": corp, "lab.corp.example": lab})


def test_a_server_that_asks_us_back_is_found_out() -> None:
    async def body(world: World) -> None:
        world.forwarder._fixed = (world.address,)
        await asyncio.wait_for(world.forwarder.probe(), SECONDS)
        assert world.forwarder.loops == {world.address}
        assert (await world.ask("www.example.com")).header.rcode == records.REFUSED

    run(body)


def test_the_same_question_costs_parsing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    before = wire.parse

    def counted(data: bytes) -> Question:
        parsed.append(data)
        return before(data)

    monkeypatch.setattr(wire, "parse", counted)

    async def body(world: World) -> None:
        for number in range(10):
            assert (await world.ask("web" + HERE, number=number)).header.id == number
        assert len(parsed) == 1

    run(body)


NAMES = (
    *(
        name + HERE
        for name in ("web", "dual", "pets", "rex.pets", "10-244-1-6.pets", "_http._tcp.web", "_http._tcp.pets")
    ),
    *(name + HERE for name in ("empty", "alias", "round", "twice", "number", "portless", "no", "x.no", "a.b.c.web")),
    *("cluster.local", "svc.cluster.local", "default.svc.cluster.local", "10-244-1-5.default.pod.cluster.local"),
    *("20.0.96.10.in-addr.arpa", "5.1.244.10.in-addr.arpa", "9.1.244.10.in-addr.arpa", "7.7.96.10.in-addr.arpa"),
)


def test_what_is_remembered_is_what_would_be_worked_out() -> None:
    """No answer outlives what it was made of, and a change of one Service leaves others' answers alone."""
    world = World((), {})
    queries = [ask_bytes(name, kind) for name in NAMES for kind in ("A", "SRV", "PTR")]
    slices = [
        endpoint_slice("pets", endpoint("10.244.1.99", hostname="Rex")),
        endpoint_slice("no", endpoint("10.9.9.9")),
    ]
    changes: list[Callable[[], None]] = []
    for name in ("web", "alias", "pets", "no", "twice", "outside"):
        made = service(name, "10.96.7.7")
        changes.append(partial(world.directory.service_changed, None, made))
        changes.append(partial(world.directory.service_changed, made, None))
    for one in slices:
        changes.append(partial(world.directory.slice_changed, None, one))
        changes.append(partial(world.directory.slice_changed, one, None))

    def answers(resolver: Resolver) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for query in queries:
            asked = wire.parse(query)
            answer = records.answer(asked.key, asked.form.type, world.directory, ZONE)
            assert answer is not None
            if known := resolver.known(query, "udp"):
                found[query] = known
            elif not answer.alias:
                resolver.handle(query, "udp", partial(found.__setitem__, query))
        # Addresses change places.
        return {query: bytes(sorted(data)) for query, data in found.items()}

    for change in changes:
        answers(world.resolver)
        change()
        assert world.resolver.known(ask_bytes("dual" + HERE), "udp") is not None
        fresh = Resolver(world.directory, ZONE, world.forwarder)
        fresh.complete = True
        assert answers(world.resolver) == answers(fresh)


def test_queries_that_take_long_leave_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn ends when its time is up, however many queries wait."""
    turns: list[int] = []

    async def body(world: World) -> None:
        handled = [0]
        before = world.resolver.handle

        def slow(*args: Any) -> None:
            handled[0] += 1
            asyncio.get_running_loop().call_soon(turns.append, handled[0])
            until = time.perf_counter() + 2 * _TURN_SECONDS
            while time.perf_counter() < until:
                pass
            before(*args)

        monkeypatch.setattr(world.resolver, "handle", slow)
        await world.udp(*(ask_bytes(f"no-{n}" + HERE, number=n) for n in range(20)))
        assert turns == list(range(1, 21)), "each was the last of its turn"

    run(body)


def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, now = tmp_path / "resolv.conf", [0.0]
    file.write_text("search x\nnameserver 192.0.2.1\nnameserver 10.96.0.10\nnameserver nonsense\n")
    forwarder = Forwarder((), file, {}, frozenset({"10.96.0.10"}), lambda: now[0])
    assert forwarder.servers() == (("192.0.2.1", 53),), "never this server itself"
    file.write_text("nameserver 192.0.2.2\n")

    os.utime(file, (5, 5))
    assert forwarder.servers() == (("192.0.2.1", 53),), "not looked at for each question"
    now[0] += 60
    assert forwarder.servers() == (("192.0.2.2", 53),)
    file.unlink()
    now[0] += 60
    with pytest.raises(NoAnswer) as refused:
        asyncio.run(forwarder.resolve("a.example", records.A))
    assert refused.value.rcode == records.REFUSED


def test_settings_name_what_is_wrong() -> None:
    assert nameservers("nameserver fe80::1\n# nameserver 1.2.3.4\noptions x\n") == ["fe80::1"]
    assert server_of("192.0.2.1") == ("192.0.2.1", 53) and server_of("192.0.2.1:54") == ("192.0.2.1", 54)
    assert server_of("[fd00::1]:54") == ("fd00::1", 54) and server_of("fd00::1") == ("fd00::1", 53)
    for given, words in (
        ({"upstreams": ("dns.example",)}, "dns.upstreams"),
        ({"stub_domains": {"a.example": ("x",)}}, "dns.stub_domains.a.example"),
        ({"addresses": ("10.96.0",)}, "dns.addresses"),
        ({"domain": "cluster.local."}, "dns.domain"),
    ):
        with pytest.raises(ValueError, match=words):
            Dns(**given)
