"""The streams over real sockets: a client, the server's own HTTP listener, and an agent that behaves or does not."""

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import Any, cast

import aiohttp
import pytest

from apimachinery import pki
from apimachinery.errors import ApiError, InternalError
from apimachinery.kinds import POD
from controlplane.apiserver.http.listener import Listener
from controlplane.apiserver.pipeline import status_response
from controlplane.apiserver.request import Decision
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.streams import backend, tunnel
from controlplane.apiserver.streams.pods import PodStreams
from tests.waiting import SECONDS, WHOLE, until

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
)


# A connection on the loopback can hold tens of megabytes that nobody has read, by the machine's settings; the ends
# that a test holds take little, so that only the server's own can.
SMALL = 1 << 16
MORE_THAN_FITS = 2000


def small_socket():
    sock = socket.socket()
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SMALL)
    return sock


class Registry:
    def get(self, kind, namespace, name):
        assert kind is POD
        spec = {"nodeName": "n1", "containers": [{"name": "c"}]}
        return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


class Agent:
    """Answers one connection with `behave(head, reader, writer)` and tells when that is over."""

    def __init__(self, behave):
        self.behave = behave
        self.head = ""
        self.over = asyncio.Event()

    async def __aenter__(self):
        listener = small_socket()  # what it accepts is like it
        listener.bind(("127.0.0.1", 0))
        self.server = await asyncio.start_server(self._serve, sock=listener)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        try:
            self.head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await self.behave(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.over.set()


@contextlib.asynccontextmanager
async def serving(agent_port, allowed=True):
    asked: list[Any] = []

    async def authorize(user, wanted):
        asked.append(wanted)
        return Decision(allowed)

    status: dict[str, Any] = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": agent_port}}
    agents = backend.Agents(lambda name: {"metadata": {"name": name}, "status": status}, None)
    pods = PodStreams(cast(Any, Registry()), agents, authorize)

    async def pipeline(request):
        try:
            return await getattr(pods, request.subresource)(request)
        except ApiError as error:
            return status_response(error)

    listener = Listener(("127.0.0.1",), 0, None, pipeline, builtin.catalog())
    await listener.start(1)
    vars(listener)["asked"] = asked
    try:
        yield listener
    finally:
        await listener.stop()


async def ask(port, path, method="GET", headers=""):
    sock = small_socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(f"{method} /api/v1/namespaces/ns/pods/p/{path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)).decode()
    return head, reader, writer


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, WHOLE))


async def settled():
    """Wait until nothing but this test runs on the loop."""
    return await until(lambda: len(asyncio.all_tasks()) <= 2, what="all tasks have ended")


def test_log_is_streamed_as_it_comes():
    async def scenario():
        more = asyncio.Event()

        async def behave(reader, writer):
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
            )
            await more.wait()
            writer.write(b"4\r\ntwo\n\r\n0\r\n\r\n")

        async with Agent(behave) as agent, serving(agent.port) as server:
            head, reader, writer = await ask(server.port, "log?follow=true&tailLines=3")
            assert head.startswith("HTTP/1.1 200")
            assert b"one" in await asyncio.wait_for(reader.readuntil(b"one\n"), SECONDS)
            more.set()
            assert b"two" in await asyncio.wait_for(reader.readuntil(b"two\n"), SECONDS)
            assert agent.head.startswith("GET /containerLogs/ns/p/c?follow=true&tailLines=3 HTTP/1.1\r\n")
            writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ("", ["", "one\n", "two\n"]),
        ("binary.k8s.io", ["", "one\n", "two\n"]),
        ("base64.binary.k8s.io", ["", "b25lCg==", "dHdvCg=="]),
    ],
)
def test_log_over_a_websocket(protocol, told):
    more = asyncio.Event()

    async def behave(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        await more.wait()
        writer.write(b"4\r\ntwo\n\r\n0\r\n\r\n")
        await writer.drain()

    async def main():
        async with Agent(behave) as agent, serving(agent.port) as listener, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{listener.port}/api/v1/namespaces/ns/pods/p/log?follow=true"
            async with http.ws_connect(url, protocols=(protocol,) if protocol else ()) as socket:
                assert (socket.protocol or "") == protocol
                got = [await socket.receive(), await socket.receive()]
                more.set()
                got += [message async for message in socket]
                assert socket.close_code == 1000
            kind = aiohttp.WSMsgType.TEXT if protocol.startswith("base64") else aiohttp.WSMsgType.BINARY
            assert {message.type for message in got} == {kind}
            assert [m.data if isinstance(m.data, str) else m.data.decode() for m in got] == told
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(url, protocols=("odd.k8s.io",))
            assert refused.value.status == 403

    asyncio.run(asyncio.wait_for(main(), WHOLE))


def test_agent_is_let_go_when_the_socket_of_a_log_is_closed():
    async def behave(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        assert await reader.read() == b""

    async def main():
        async with Agent(behave) as agent, serving(agent.port) as listener, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{listener.port}/api/v1/namespaces/ns/pods/p/log?follow=true"
            async with http.ws_connect(url) as socket:
                assert [await socket.receive_bytes() for _ in range(2)] == [b"", b"one\n"]
            await asyncio.wait_for(agent.over.wait(), SECONDS)

    asyncio.run(asyncio.wait_for(main(), WHOLE))


def test_agent_is_let_go_when_the_reader_of_a_log_leaves():
    async def scenario():
        async def behave(reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx\n\r\n")
            await reader.read()  # returns when the server hangs up

        async with Agent(behave) as agent, serving(agent.port) as server:
            _, reader, writer = await ask(server.port, "log?follow=true")
            await reader.readuntil(b"x\n")
            writer.close()
            await asyncio.wait_for(agent.over.wait(), SECONDS)

    run(scenario())


def test_refusals_of_the_agent_reach_the_client():
    async def scenario():
        async def behave(reader, writer):
            text = b'container "c" in pod "p" is waiting to start: ContainerCreating'
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

        async with Agent(behave) as agent, serving(agent.port) as server:
            head, reader, writer = await ask(server.port, "log")
            assert head.startswith("HTTP/1.1 400")
            assert b"is waiting to start" in await reader.readuntil(b'"code":')
            writer.close()

    run(scenario())


def test_agent_that_does_not_listen():
    async def scenario():
        async with Agent(None) as agent:
            port = agent.port
        async with serving(port) as server:
            head, reader, writer = await ask(server.port, "exec?command=a", headers=UPGRADE)
            assert head.startswith("HTTP/1.1 500")
            assert b"connection refused" in await reader.readuntil(b'"code":')
            writer.close()

    run(scenario())


async def echo(reader, writer):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()


def test_exec_carries_bytes_both_ways_untouched():
    async def scenario():
        async with Agent(echo) as agent, serving(agent.port) as server:
            head, reader, writer = await ask(server.port, "exec?command=cat&stdin=1", headers=UPGRADE)
            assert head.startswith("HTTP/1.1 101")
            assert await reader.readexactly(5) == b"hello"
            payload = bytes(range(256)) * 4096

            async def send():
                writer.write(payload)
                await writer.drain()

            sending = asyncio.ensure_future(send())
            assert await asyncio.wait_for(reader.readexactly(len(payload)), SECONDS) == payload
            await sending
            assert "Sec-WebSocket-Protocol: v5.channel.k8s.io" in agent.head
            assert agent.head.startswith("GET /exec/ns/p/c?input=1&command=cat ")
            assert [wanted.verb for wanted in server.asked] == ["create"]
            writer.close()
            await asyncio.wait_for(agent.over.wait(), SECONDS)
        assert await settled()

    run(scenario())


def test_client_is_let_go_when_the_agent_dies():
    async def scenario():
        async def behave(reader, writer):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\nlast words")
            await writer.drain()

        async with Agent(behave) as agent, serving(agent.port) as server:
            _, reader, _ = await ask(server.port, "attach", "POST", UPGRADE)
            assert await asyncio.wait_for(reader.read(), SECONDS) == b"last words"
        assert await settled()

    run(scenario())


def test_slow_reader_slows_the_writer():
    async def scenario():
        sent = 0

        async def behave(reader, writer):
            nonlocal sent
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            for _ in range(MORE_THAN_FITS):
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        async with Agent(behave) as agent, serving(agent.port) as server:
            _, _, writer = await ask(server.port, "exec?command=yes", headers=UPGRADE)
            before = -1
            while before != sent:  # until the writer stands still
                before = sent
                await asyncio.sleep(0.3)
            assert sent < MORE_THAN_FITS * 65536
            writer.transport.abort()
            await asyncio.wait_for(agent.over.wait(), SECONDS)

    run(scenario())


def test_client_that_dies_while_nobody_reads_it_is_noticed(monkeypatch):
    monkeypatch.setattr(tunnel, "VIGIL_SECONDS", 0.05)

    async def scenario():
        let_go = asyncio.Event()

        async def behave(reader, writer):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            await let_go.wait()  # reads nothing: the way to the agent is blocked

        async with Agent(behave) as agent, serving(agent.port) as server:
            _, _, writer = await ask(server.port, "exec?command=sleep&stdin=1", headers=UPGRADE)
            for _ in range(MORE_THAN_FITS):
                writer.write(b"x" * 65536)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(writer.drain(), 0.3)
                    continue
                break
            else:
                raise AssertionError("nothing ever blocked")
            reset = struct.pack("ii", 1, 0)  # close with a reset, as a killed peer's kernel does
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.transport.abort()
            while any("_carry" in repr(task) for task in asyncio.all_tasks()):
                await asyncio.sleep(0.05)
            let_go.set()
            await asyncio.wait_for(agent.over.wait(), SECONDS)
        assert await settled()

    run(scenario())


def test_websocket_needs_the_right_to_create():
    async def scenario():
        async with serving(1, allowed=False) as server:
            head, reader, writer = await ask(server.port, "exec?command=a", headers=UPGRADE)
            assert head.startswith("HTTP/1.1 403")
            assert b'cannot create resource \\"pods/exec\\"' in await reader.readuntil(b'"code":')
            writer.close()

    run(scenario())


def test_request_without_an_upgrade():
    async def scenario():
        async with serving(1) as server:
            head, _, writer = await ask(server.port, "exec?command=a", "POST")
            assert head.startswith("HTTP/1.1 400")
            writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("own", "address", "reason"),
    [
        (True, "127.0.0.1", None),
        (False, "127.0.0.1", "certificate verify failed"),
        (True, "127.0.0.2", "address mismatch"),
    ],
)
def test_only_the_agent_at_that_address_is_spoken_to(tmp_path, own, address, reason):
    """An agent proves itself by the cluster's authority and its address before it hears a word."""
    ours, other = pki.new_ca("ours"), pki.new_ca("other")
    pair = pki.issue(ours if own else other, "system:node:n1", ips=("127.0.0.1",), server=True)
    for name, data in (("ca.crt", ours.cert_pem), ("s.crt", pair.cert_pem), ("s.key", pair.key_pem)):
        (tmp_path / name).write_bytes(data)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    heard = []

    async def answer(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, address, 0, ssl=serving)
        context = backend.client_context(None, None, tmp_path / "ca.crt")
        where = backend.Address(address, server.sockets[0].getsockname()[1], context)
        async with server:
            if reason is None:
                assert await (await backend.call(where, "GET", "/", ())).text() == "ok"
            else:
                with pytest.raises(InternalError, match=reason):
                    await backend.call(where, "GET", "/", ())
                assert not heard

    asyncio.run(asyncio.wait_for(main(), WHOLE))


@pytest.mark.parametrize("judged", [False, True])
def test_a_kubelets_own_certificate_is_enough_where_no_authority_is_configured(tmp_path, judged):
    """A kubelet signs its serving certificate itself unless told otherwise; an authority judges all alike."""
    own, authority = pki.new_ca("kubelet"), pki.new_ca("cluster")
    pair = pki.issue(own, "node", ips=("127.0.0.1",), server=True)
    for name, data in (("k.crt", pair.cert_pem), ("k.key", pair.key_pem), ("ca.crt", authority.cert_pem)):
        (tmp_path / name).write_bytes(data)

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def main():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "k.crt", tmp_path / "k.key")
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            tls = backend.client_context(None, None, tmp_path / "ca.crt" if judged else None)
            address = backend.Address("127.0.0.1", server.sockets[0].getsockname()[1], tls)
            return await (await backend.call(address, "GET", "/healthz", [])).text()

    if not judged:
        assert backend.client_context(None, None, None).cert_store_stats()["x509_ca"] == 0, "read for nothing"
    if judged:
        with pytest.raises(InternalError, match="certificate verify failed"):
            asyncio.run(asyncio.wait_for(main(), WHOLE))
    else:
        assert asyncio.run(asyncio.wait_for(main(), WHOLE)) == "ok"
