"""The relay: it leads where nftables mode leads, and hands every byte on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.kit import loops, tasks
from benchmarks import ports
from netproxy.ground import Ground
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from netproxy.topology import Place
from netproxy.userspace import tcp, udp
from netproxy.userspace.choice import Bindings, candidates
from netproxy.userspace.plan import Listener, Own, Relay, is_inside, plan
from tests.netproxy.packet import LOCAL_ADDRESSES, End, Packet, collect
from tests.netproxy.simulated import BASE, UserspaceRules, endpoint, endpoint_slice, ground, rules_for, service, tracker
from tests.netproxy.test_incremental import specs
from tests.waiting import SECONDS, until

KEY = PortKey("default", "svc", "p", "TCP", Family.IPV4)
NODE = frozenset(ip for ip in LOCAL_ADDRESSES if ":" not in ip and ip != "127.0.0.1")


def relayed(pieces: dict[Any, Any], packet: Packet, on: Ground) -> dict[End, float]:
    """Where a client ends up."""
    own = Own(packet.dst) in pieces
    relay = pieces.get(Listener(packet.protocol.upper(), packet.dst, packet.dport))
    if relay is None:
        return {End("reject" if own else "untouched"): 1.0}
    inside = is_inside(packet.src, on, NODE)
    count = len(relay.inside if inside else relay.outside) or 1
    ends = []
    for turn in range(count):
        found = candidates(relay, packet.src, inside, Bindings(), 0.0, (turn + 0.5) / count)
        end = End("sent", f"{found[0][0]}:{found[0][1]}", True) if found else End("reject")
        ends.append((end, 1 / count))
    return collect(ends)


def as_a_relay_can(ends: dict[End, float]) -> dict[End, float]:
    """It has its own node's addresses alone, and turns away what others pass over in silence."""
    words = {"drop": "reject"}
    return collect((End(words.get(e.verdict, e.verdict), e.target, e.verdict == "sent"), w) for e, w in ends.items())


ENDPOINTS = [endpoint("10.244.1.5", "node1"), endpoint("10.244.1.6", "node1"), endpoint("10.244.2.5")]
SOURCES = ("10.244.1.9", "10.20.0.11", "198.51.100.9", "192.0.2.77")
FRONTS = (*((ip, 80) for ip in ("10.96.0.1", "192.0.2.1", "203.0.113.7")), *(("10.20.0.11", p) for p in (30001, 30002)))


@settings(max_examples=60)
@given(
    spec=specs("a"),
    endpoints=st.lists(st.sampled_from(ENDPOINTS), max_size=3, unique_by=lambda e: e["addresses"][0]),
    ingress=st.sampled_from([(), ("203.0.113.7",)]),
)
def test_it_leads_where_nftables_leads(spec: dict[str, Any], endpoints: list[Any], ingress: tuple[str, ...]) -> None:
    ports = [{"name": "p", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made, slices = service(spec, ingress, "a"), [endpoint_slice(*endpoints, owner="a", ports=ports)]
    track = tracker(Place("node1", "z1"))
    track.service_changed(None, made)
    track.slice_changed(None, slices[0])
    on = ground(Family.IPV4)
    pieces = dict(piece for route in track.drain().routes.values() if route for piece in plan(route, on, NODE))
    rules = rules_for("nftables", made, slices, Place("node1", "z1"))
    for source in SOURCES:
        for address, port in FRONTS:
            for protocol in ("tcp", "udp"):
                packet = Packet(source, address, port, protocol)
                wanted = as_a_relay_can(rules.trace(packet))
                found = relayed(pieces, packet, on)
                if Own(address) in pieces and wanted == {End("untouched"): 1.0}:
                    # The address is this host's own as soon as any port of it is a Service's.
                    wanted = {End("reject"): 1.0}
                if address in NODE and wanted == {End("reject"): 1.0} and found == {End("untouched"): 1.0}:
                    continue  # nobody listens at the node's own port: the kernel refuses
                assert found == wanted, packet


def test_a_client_is_bound_at_every_address_of_a_service_port_until_it_was_silent_too_long() -> None:
    targets = tuple((f"10.244.1.{i}", 80) for i in range(1, 5))
    relay = Relay(KEY, targets, targets, affinity_seconds=60)
    bindings = Bindings()
    bindings.bind(KEY, "10.0.0.9", targets[2], 100.0)
    assert candidates(relay, "10.0.0.9", True, bindings, 159.0, 0.0)[0] == targets[2]
    assert candidates(relay, "10.0.0.9", True, bindings, 161.0, 0.0)[0] == targets[0]
    assert candidates(relay, "10.0.0.8", True, bindings, 159.0, 0.0)[0] == targets[0]
    gone = Relay(KEY, targets[:2], targets[:2], affinity_seconds=60)
    assert candidates(gone, "10.0.0.9", True, bindings, 159.0, 0.99)[0] == targets[1]
    bindings.forget(KEY)
    assert candidates(relay, "10.0.0.9", True, bindings, 101.0, 0.0)[0] == targets[0]


def test_a_change_and_a_connection_cost_the_same_however_many_services_there_are() -> None:
    changes, connections = [], []
    for count in (10, 1000):
        rules = UserspaceRules(ground(Family.IPV4))
        routes = [_route(f"10.96.{n // 250}.{n % 250 + 1}", "10.244.1.5") for n in range(count)]
        rules.rebuild({route.port.key: route for route in routes})
        changed = _route("10.96.0.1", "10.244.1.6")
        first, again = ({route.port.key: route} for route in (changed, routes[0]))
        rules.change(first)
        rules.change(again)
        changes.append(steps(lambda rules=rules, first=first: rules._mode.change(first)))  # type: ignore[misc]
        tracemalloc.start()
        assert rules._mode._choose(Listener("TCP", "10.96.0.1", 80), "10.244.9.9") == (("10.244.1.6", 8080),)
        connections.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert changes[1] < changes[0] + 100, "lines run through"
    assert connections[1] < connections[0] + 10_000, "bytes made on the way"


def _route(vip: str, backend: str) -> Route:
    port = ServicePort(PortKey("default", f"at-{vip}", "p", "TCP", Family.IPV4), vip, 80)
    return Route(port, (Backend(backend, 8080),), (), True)


def steps(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """How many lines of the mode's own it runs through."""
    counted = 0

    def trace(frame: FrameType, event: str, _about: object) -> Any:
        nonlocal counted
        counted += event == "line"
        return trace if "userspace" in frame.f_code.co_filename or "ledger" in frame.f_code.co_filename else None

    async def main() -> None:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            await work()
        finally:
            sys.settrace(before)

    asyncio.run(main())
    return counted


def test_sources_are_asked_in_both_families() -> None:
    relay = Relay(KEY, (("a", 1),), (("a", 1),), sources=("198.51.100.0/24",))
    assert candidates(relay, "198.51.100.7", False, Bindings(), 0.0, 0.0)
    assert not candidates(relay, "198.51.101.7", False, Bindings(), 0.0, 0.0)
    six = BASE.__class__(Family.IPV6, cluster_cidrs=("fd00:244::/32",))
    assert is_inside("fd00:244::7", six, frozenset()) and is_inside("::1", six, frozenset())
    assert not is_inside("fd00:99::7", six, frozenset())


# Bytes, by real sockets of the loopback device.


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def relay_to(handler: Handler, *dead: tuple[str, int]) -> AsyncIterator[int]:
    """The port of a relay to a server, behind endpoints where nobody answers."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[:2]
    (port,) = ports.free()
    front = await tcp.serve(Listener("TCP", "127.0.0.1", port), lambda _: (*dead, target))
    try:
        yield port
    finally:
        front.close()
        server.close()


async def shout_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads to the end before it says a word."""
    data = await reader.read()
    writer.write(data[::-1])
    await writer.drain()
    writer.close()


def run(body: Coroutine[Any, Any, None], runner: Callable[[Any], None] = asyncio.run) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(body, SECONDS)

    runner(bounded())


async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says a word before it hears one, and waits for the client's end."""
    writer.write(b"hello")
    await reader.read()
    writer.close()


@pytest.mark.parametrize("runner", [asyncio.run, loops.run], ids=["asyncio", "uvloop"])
def test_whoever_speaks_first_is_heard_on_the_daemons_loop_too(runner: Callable[[Any], None]) -> None:
    async def body() -> None:
        async with relay_to(speak_first) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.readexactly(5) == b"hello"
            writer.close()
        async with relay_to(shout_back) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"abc")
            writer.write_eof()
            assert await reader.read() == b"cba"
            writer.close()

    run(body(), runner)


async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is at its end at once."""
    writer.close()


def test_two_who_end_before_they_have_found_each_other_leave_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    within = tasks.within

    async def late(connecting: Any, seconds: float) -> Any:
        made = await within(connecting, seconds)
        await asyncio.sleep(0.05)
        return made

    async def body() -> None:
        async with relay_to(say_nothing) as port:
            before = len(list(Path("/proc/self/fd").iterdir()))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, what="both sockets are closed")

    monkeypatch.setattr("netproxy.userspace.tcp.tasks.within", late)
    run(body(), loops.run)


def test_an_endpoint_that_answers_when_its_client_has_just_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    within, answered, told = tasks.within, asyncio.Event(), asyncio.Event()

    async def late(connecting: Any, seconds: float) -> Any:
        await within(connecting, seconds)
        answered.set()
        await asyncio.Event().wait()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        told.set()
        writer.close()

    async def body() -> None:
        async with relay_to(listen) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait_for(answered.wait(), SECONDS)
            connecting = next(t for t in asyncio.all_tasks() if "_connect" in repr(t.get_coro()))
            connecting.cancel()
            await asyncio.wait_for(told.wait(), SECONDS)
            writer.close()

    monkeypatch.setattr("netproxy.userspace.tcp.tasks.within", late)
    run(body())


@pytest.mark.parametrize("runner", [asyncio.run, loops.run], ids=["asyncio", "uvloop"])
def test_an_endpoint_that_is_given_up_when_it_has_just_answered_ends_no_client(
    monkeypatch: pytest.MonkeyPatch, runner: Callable[[Any], None]
) -> None:
    within = tasks.within
    given_up: list[Any] = []

    async def late(connecting: Any, seconds: float) -> Any:
        if given_up:
            return await within(connecting, seconds)
        # The deadline strikes between the connection and whoever waits for it.
        transport, _ = await connecting
        transport.close()
        given_up.append(transport)
        await asyncio.sleep(0.05)
        raise asyncio.TimeoutError

    async def body() -> None:
        async with relay_to(shout_back) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"abc")
            writer.write_eof()
            assert await reader.read() == b"cba" and given_up
            writer.close()

    monkeypatch.setattr("netproxy.userspace.tcp.tasks.within", late)
    run(body(), runner)


def test_each_direction_ends_by_itself_and_no_byte_is_lost() -> None:
    async def body() -> None:
        said = bytes(range(256)) * 20_000
        async with relay_to(shout_back) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            writer.write_eof()
            assert await reader.read() == said[::-1]
            writer.close()

    run(body())


def test_who_speaks_first_is_heard_and_a_dead_endpoint_is_passed_over() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def body() -> None:
        (dead,) = ports.free()
        async with relay_to(greet, ("127.0.0.1", dead)) as port:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == b"hello"
                writer.close()

    run(body())


def test_a_slow_reader_stops_a_fast_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    full: list[tcp._Side] = []
    pause_writing = tcp._Side.pause_writing

    def pause(side: tcp._Side) -> None:
        pause_writing(side)
        full.append(side)

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    async def body() -> None:
        async with relay_to(flood) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            await until(lambda: full, what="the client's side takes no more")
            endpoint = full[0]._peer
            assert endpoint and endpoint._transport and not endpoint._transport.is_reading()
            # More than all buffers on the way hold: it goes on with who reads.
            await reader.readexactly(32 << 20)
            writer.transport.abort()

    monkeypatch.setattr(tcp._Side, "pause_writing", pause)
    run(body())


def test_a_client_with_nowhere_to_go_is_reset() -> None:
    async def body() -> None:
        (port,) = ports.free()
        front = await tcp.serve(Listener("TCP", "127.0.0.1", port), lambda _: ())
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        front.close()

    run(body())


def test_a_broken_server_breaks_its_client() -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        handle = writer.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def body() -> None:
        async with relay_to(break_off) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(body())


def test_datagrams_of_two_clients_come_back_to_each_and_silence_ends_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "IDLE_SECONDS", 0.2)

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, peer: Any) -> None:
            self.transport.sendto(data + b"!", peer)

    async def body() -> None:
        loop = asyncio.get_running_loop()
        echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        target = echo.get_extra_info("sockname")
        (port,) = ports.free(kind=socket.SOCK_DGRAM)
        relayed = await udp.serve(Listener("UDP", "127.0.0.1", port), lambda _: (target,))
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for number, handle in enumerate(clients):
            handle.setblocking(False)
            handle.bind(("127.0.0.1", 0))
            await loop.sock_connect(handle, ("127.0.0.1", port))
            await loop.sock_sendall(handle, b"%d" % number)
        assert [await loop.sock_recv(handle, 100) for handle in clients] == [b"0!", b"1!"]
        assert len(relayed._clients) == 2
        while relayed._clients:
            await asyncio.sleep(0.05)
        await loop.sock_sendall(clients[0], b"again")
        assert await loop.sock_recv(clients[0], 100) == b"again!"
        relayed.only(())
        assert not relayed._clients
        for handle in clients:
            handle.close()
        relayed.close()
        echo.close()

    run(body())
