"""The agent's API over TLS, with a runtime whose streaming server speaks real SPDY."""

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.cri.errors import CriUnimplemented
from agent.cri.model import ExecResult
from agent.server import channels, configz, spdy, stats
from agent.server.containers import missing_log
from agent.server.serve import serve
from agent.settings import AgentSettings
from agent.view import ContainerRef, ContainerUsage
from apimachinery import pki
from apimachinery.kit import loops, webserver
from apimachinery.kit.lifecycle import Lifecycle
from tests.waiting import SECONDS

POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {"containers": [{"name": "c"}, {"name": "late"}]},
    "status": {"containerStatuses": [{"name": "late", "state": {"waiting": {"reason": "ContainerCreating"}}}]},
}


class StreamingServer:
    """What a CRI streaming server does: upgrade, wait for every stream, echo input, end with a status."""

    def __init__(self) -> None:
        self.port = 0
        self.types: list[str] = []
        self.refuse = False

    async def start(self) -> asyncio.AbstractServer:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._session(reader, writer)
        finally:
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if self.refuse or "upgrade: spdy/3.1" not in head:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone")
            return
        protocol = head.split("x-stream-protocol-version: ")[1].split("\r\n")[0]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            b"X-Stream-Protocol-Version: " + protocol.encode() + b"\r\n\r\n"
        )
        codec, streams = spdy.Codec(), {}

        def send(frame: spdy.Frame) -> None:
            writer.write(codec.encode(frame))

        while data := await reader.read(65536):
            for frame in codec.feed(data):
                if isinstance(frame, spdy.SynStream):
                    kind = frame.headers["streamtype"]
                    self.types.append(kind)
                    streams[frame.stream] = kind
                    send(spdy.SynReply(frame.stream))
                    if kind == "resize" or (kind == "stderr" and "stdin" not in streams.values()):
                        # Nothing will come from the client: say something and end.
                        send(spdy.Ping(2))
                elif isinstance(frame, spdy.Data):
                    at = {kind: number for number, kind in streams.items()}
                    if streams[frame.stream] == "stdin":
                        if frame.data:
                            send(spdy.Data(at["stdout"], b"echo:" + frame.data))
                        if frame.fin or frame.data == b"stop":
                            self._end(send, at)
                            await writer.drain()
                            return
                    elif streams[frame.stream] == "resize":
                        send(spdy.Data(at["stdout"], b"size:" + frame.data))

    def _end(self, send: Callable[[spdy.Frame], None], at: dict[str, int]) -> None:
        if "stderr" in at:
            send(spdy.Data(at["stderr"], b"bye"))
            send(spdy.Data(at["stderr"], b"", fin=True))
        send(spdy.Data(at["stdout"], b"", fin=True))
        status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"message": "3"}]}}
        status["message"] = "command terminated with non-zero exit code: exit code 3"
        send(spdy.Data(at["error"], json.dumps(status).encode(), fin=True))


class View:
    """A RuntimeView with one running container."""

    def __init__(self, log_path: Path, streaming: StreamingServer) -> None:
        self.ref = ContainerRef("id1", "c", "u", "running", log_path, 0)
        self.streaming = streaming
        self.problem = ""
        self.asked: list[Any] = []

    def healthy(self) -> str:
        return self.problem

    def pods(self) -> list[Any]:
        return [POD]

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Any:
        return POD if (namespace, name) == ("ns", "p") and uid in ("", "u") else None

    def containers(self, uid: str) -> list[ContainerRef]:
        return [self.ref]

    def find_container(self, uid: str, name: str, previous: bool = False) -> ContainerRef | None:
        return self.ref if name == "c" and not previous else None

    def sandbox_id(self, uid: str) -> str | None:
        return "box"

    async def exec_sync(self, container_id: str, command: Any, timeout: float) -> ExecResult:
        return ExecResult(" ".join(command).encode(), b"", 0)

    async def exec_url(self, container_id: str, command: Any, **flags: bool) -> str:
        self.asked.append((container_id, list(command), flags))
        return f"http://127.0.0.1:{self.streaming.port}/exec/token"

    async def port_forward_url(self, sandbox: str, ports: Any) -> str:
        return f"http://127.0.0.1:{self.streaming.port}/portforward/token"

    async def checkpoint(self, container_id: str, location: Path, timeout: int) -> None:
        self.asked.append((container_id, location.parent.name, timeout))
        if timeout == 3:
            raise CriUnimplemented("CheckpointContainer", "Unimplemented", "unknown method CheckpointContainer")
        location.write_text("archive")

    async def usage(self) -> list[ContainerUsage]:
        return [ContainerUsage(self.ref, 2_000_000_000, 5_000_000_000, None, 4096, None, None, None, None, None, None)]


class Server:
    """A running agent API and clients for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = pki.new_ca("test-ca")
        self.port = 0
        self.streaming = StreamingServer()
        self.log = directory / "0.log"
        self.view = View(self.log, self.streaming)

    async def start(self, lifecycle: Lifecycle) -> None:
        files = {"ca.crt": self.ca.cert_pem}
        serving = pki.issue(self.ca, "node", dns=("localhost",), ips=("127.0.0.1",), server=True)
        files.update({"s.crt": serving.cert_pem, "s.key": serving.key_pem})
        for name, data in files.items():
            (self.directory / name).write_bytes(data)
        settings = AgentSettings(
            node_name="n",
            node_ip="127.0.0.1",
            root_dir=self.directory,
            system_log_dir=self.directory / "var-log",
            bind_address="127.0.0.1",
            port=0,
            healthz_port=0,
            tls_cert_file=self.directory / "s.crt",
            tls_key_file=self.directory / "s.key",
            client_ca_file=self.directory / "ca.crt",
        )
        self.port = await serve(lifecycle, settings, self.view, None)  # type: ignore[arg-type]

    def session(self, user: str | None = "kube-apiserver-kubelet-client", *groups: str) -> aiohttp.ClientSession:
        context = ssl.create_default_context(cadata=self.ca.cert_pem.decode())
        if user is not None:
            pair = pki.issue(self.ca, user, groups, client=True)
            cert = self.directory / f"{user}.pem"
            cert.write_bytes(pair.cert_pem + pair.key_pem)
            context.load_cert_chain(cert)
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(f"https://127.0.0.1:{self.port}", connector=connector)


def run(
    tmp_path: Path, scenario: Callable[[Server], Awaitable[None]], loop: Callable[[], Any] = asyncio.new_event_loop
) -> None:
    async def main() -> None:
        lifecycle, server = Lifecycle(), Server(tmp_path)
        runtime = await server.streaming.start()
        await server.start(lifecycle)
        try:
            await asyncio.wait_for(scenario(server), SECONDS)
        finally:
            lifecycle.request_stop()
            await lifecycle.wait()
            runtime.close()

    chosen = loop()
    try:
        chosen.run_until_complete(main())
    finally:
        chosen.close()


def test_only_the_api_server_and_administrators_get_in(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        for user, groups, status in (
            ("kube-apiserver-kubelet-client", (), 200),
            ("anyone", ("system:masters",), 200),
            ("anyone", (), 403),
            (None, (), 401),
        ):
            async with server.session(user, *groups) as http, http.get("/healthz") as answer:
                assert answer.status == status, user

    run(tmp_path, scenario)


def test_documents(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http:
            async with http.get("/pods") as answer:
                assert (await answer.json())["items"] == [POD]
            async with http.get("/stats/summary") as answer:
                figures = await answer.json()
            assert figures["node"]["cpu"]["usageCoreNanoSeconds"] > 0
            assert figures["pods"][0]["memory"]["workingSetBytes"] == 4096
            async with http.get("/metrics/resource") as answer:
                body = await answer.text()
            assert 'container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 5.0 2000' in body
            async with http.get("/metrics") as answer:
                body = await answer.text()
            for line in (
                'kubelet_node_name{node="n"} 1.0',
                "kubelet_running_pods 1.0",
                'kubelet_running_containers{container_state="running"} 1.0',
                'kubelet_running_containers{container_state="exited"} 0.0',
            ):
                assert line in body
            async with http.get("/statusz") as answer:
                assert "\nkubelet statusz\n" in await answer.text()
            async with http.get("/flagz") as answer:
                assert "\nnode-name=" in await answer.text()
            async with http.post("/flagz") as answer:
                assert answer.status == 405
            async with http.get("/nothing") as answer:
                assert answer.status == 404
            async with http.post("/run/ns/p/c?cmd=echo%20hi") as answer:
                assert await answer.text() == "echo hi"
            server.view.problem = "PLEG is not healthy"
            async with http.get("/healthz") as answer:
                assert (answer.status, await answer.text()) == (500, "PLEG is not healthy")

    run(tmp_path, scenario)


def test_the_configuration_is_told_in_upstreams_words(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http, http.get("/configz") as answer:
            told = (await answer.json())["kubeletconfig"]
        assert told["authentication"]["x509"] == {"clientCAFile": str(tmp_path / "ca.crt")}
        assert (told["port"], told["maxPods"], told["healthzPort"]) == (0, 110, 0)
        assert (told["runtimeRequestTimeout"], told["nodeStatusReportFrequency"]) == ("2m0s", "5m0s")
        assert (told["containerLogMaxSize"], told["nodeLeaseDurationSeconds"]) == ("10Mi", 40)
        assert "staticPodPath" not in told and "registerWithTaints" not in told

    run(tmp_path, scenario)
    asked = AgentSettings("n", register_taints=("a=b:NoSchedule", "c:NoExecute"), seccomp_default=True)
    asked = replace(asked, container_log_max_bytes=1500, lease_seconds=0.4)
    told = configz.configuration(asked)["kubeletconfig"]
    assert (told["containerLogMaxSize"], told["nodeLeaseDurationSeconds"]) == ("1500", 1)
    assert told["registerWithTaints"] == [
        {"key": "a", "value": "b", "effect": "NoSchedule"},
        {"key": "c", "effect": "NoExecute"},
    ]
    assert told["seccompDefault"] and not told["authentication"]["webhook"]["enabled"]
    texts = {0: "0s", 1.5: "1.5s", 60: "1m0s", 14400: "4h0m0s", 3723: "1h2m3s"}
    assert {seconds: configz.duration(seconds) for seconds in texts} == texts


def test_a_checkpoint_is_a_file_of_the_node_or_the_runtimes_refusal(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http:
            async with http.post("/checkpoint/ns/p/c?timeout=x&timeout=7") as answer:
                (written,) = (await answer.json())["items"]
            assert Path(written).read_text() == "archive" and Path(written).parent == tmp_path / "checkpoints"
            assert (tmp_path / "checkpoints").stat().st_mode & 0o777 == 0o700
            assert server.view.asked == [("id1", "checkpoints", 7)]
            why = "rpc error: code = Unimplemented desc = unknown method CheckpointContainer"
            for path, status, text in (
                ("/checkpoint/ns/other/c", 404, "pod does not exist"),
                ("/checkpoint/ns/p/none", 404, "container none does not exist"),
                *(
                    (f"/checkpoint/ns/p/c?timeout={odd}", 404, "cannot parse value of timeout parameter")
                    for odd in ("x", "", "1_0", 2**63)
                ),
                (
                    "/checkpoint/ns/p/c?timeout=-1",
                    500,
                    "checkpointing of ns/p/c failed (CheckpointContainer requires the timeout value to be > 0)",
                ),
                ("/checkpoint/ns/p/late", 500, "checkpointing of ns/p/late failed (container late not found)"),
                ("/checkpoint/ns/p/c?timeout=3", 500, f"checkpointing of ns/p/c failed ({why})"),
            ):
                async with http.post(path) as answer:
                    assert (answer.status, await answer.text()) == (status, text)
            async with http.get("/checkpoint/ns/p/c") as answer:
                assert answer.status == 405

    run(tmp_path, scenario)


def test_logs(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        server.log.write_bytes(b"2026-01-01T00:00:00Z stdout F a\n2026-01-01T00:00:01Z stdout F b\n")
        async with server.session() as http:
            async with http.get("/containerLogs/ns/p/c?tailLines=1") as answer:
                assert await answer.text() == "b\n"
            for path, status, text in (
                ("/containerLogs/ns/other/c", 404, "pod does not exist"),
                ("/containerLogs/ns/p/none", 404, "container not found in pod"),
                (
                    "/containerLogs/ns/p/c?previous=true",
                    400,
                    'previous terminated container "c" in pod "p" not found',
                ),
                (
                    "/containerLogs/ns/p/late",
                    400,
                    'container "late" in pod "p" is waiting to start: ContainerCreating',
                ),
                ("/containerLogs/ns/p/c?tailLines=x", 400, "invalid log options"),
            ):
                async with http.get(path) as answer:
                    assert (answer.status, (await answer.text()).startswith(text)) == (status, True), path

    run(tmp_path, scenario)


def test_a_follower_gets_lines_as_they_are_written(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        server.log.write_bytes(b"")
        async with server.session() as http, http.get("/containerLogs/ns/p/c?follow=true") as answer:
            with server.log.open("ab") as file:
                file.write(b"2026-01-01T00:00:00Z stdout F now\n")
            assert await answer.content.readline() == b"now\n"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("protocol", "tty", "loop"),
    [
        ("v5.channel.k8s.io", False, asyncio.new_event_loop),
        ("v5.channel.k8s.io", False, loops.Loop),
        ("v4.channel.k8s.io", True, asyncio.new_event_loop),
    ],
)
def test_exec_over_websocket(tmp_path: Path, protocol: str, tty: bool, loop: Callable[[], Any]) -> None:
    async def scenario(server: Server) -> None:
        query = "command=cat&command=-&input=1&output=1&error=1" + ("&tty=1" if tty else "")
        async with (
            server.session() as http,
            http.ws_connect(f"/exec/ns/p/c?{query}", protocols=(protocol,)) as socket,
        ):
            assert socket.protocol == protocol
            assert (await socket.receive_bytes()) == b"\x01"
            await socket.send_bytes(b"\x00hello")
            assert (await socket.receive_bytes()) == b"\x01echo:hello"
            if tty:
                await socket.send_bytes(b'\x04{"Width":80}')
                assert (await socket.receive_bytes()) == b'\x01size:{"Width":80}'
                assert server.streaming.types == ["error", "stdin", "stdout", "resize"]
                return
            await socket.send_bytes(b"\xff\x00")
            assert (await socket.receive_bytes()) == b"\x02bye"
            last = await socket.receive_bytes()
            assert last[0] == 3
            assert json.loads(last[1:])["reason"] == "NonZeroExitCode"
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert server.view.asked == [
            ("id1", ["cat", "-"], {"stdin": True, "stdout": True, "stderr": True, "tty": False})
        ]

    run(tmp_path, scenario, loop)


def test_a_command_may_be_long(tmp_path: Path) -> None:
    """It stands in the request's first line; clients send 20 KB there."""

    async def scenario(server: Server) -> None:
        query = f"command=echo&command={'a' * 20_000}&output=1"
        async with server.session() as http, http.ws_connect(f"/exec/ns/p/c?{query}", protocols=("v5.channel.k8s.io",)):
            assert server.view.asked[0][1] == ["echo", "a" * 20_000]

    run(tmp_path, scenario)


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("protocol", [*channels.PROTOCOLS, ""])
def test_every_version_of_the_channels_in_text_and_in_binary_messages(
    tmp_path: Path, protocol: str, as_text: bool
) -> None:
    """The Python client of Kubernetes sends input as text messages; no message that means nothing ends a session."""
    coded = "base64" in protocol

    def framed(channel: int, data: bytes) -> bytes:
        return str(channel).encode() + base64.b64encode(data) if coded else bytes((channel,)) + data

    async def scenario(server: Server) -> None:
        query = "command=cat&command=-&stdin=1&stdout=1&tty=1"
        offered = (protocol,) if protocol else ()
        async with server.session() as http, http.ws_connect(f"/exec/ns/p/c?{query}", protocols=offered) as socket:

            async def send(data: bytes) -> None:
                await (socket.send_str(data.decode()) if as_text else socket.send_bytes(data))

            async def receive() -> bytes:
                if coded:
                    return str(await socket.receive_str()).encode()
                return bytes(await socket.receive_bytes())

            assert (socket.protocol or "") == protocol
            assert await receive() == framed(1, b"")
            await send(b"")
            await send(framed(9, b"to nobody"))
            await send(framed(0, "hellö".encode()))
            assert await receive() == framed(1, "echo:hellö".encode())
            await send(framed(4, b'{"Width":80,"Height":24}'))
            assert await receive() == framed(1, b'size:{"Width":80,"Height":24}')

    run(tmp_path, scenario)


@pytest.mark.parametrize(("protocol", "told"), [("channel.k8s.io", b"\x03"), ("v4.channel.k8s.io", b"\x03{")])
def test_before_v4_a_failure_is_told_in_words(tmp_path: Path, protocol: str, told: bytes) -> None:
    async def scenario(server: Server) -> None:
        async with (
            server.session() as http,
            http.ws_connect("/exec/ns/p/c?command=x&stdin=1&stdout=1", protocols=(protocol,)) as socket,
        ):
            await socket.send_bytes(b"\x00stop")
            got = [message.data async for message in socket]
            assert socket.close_code == 1000
        assert got[:2] == [b"\x01", b"\x01echo:stop"] and got[-1].startswith(told)
        assert (b"NonZeroExitCode" in got[-1]) == (protocol != "channel.k8s.io")
        assert b"exit code 3" in got[-1]

    run(tmp_path, scenario)


def test_a_subprotocol_that_nobody_speaks_is_refused(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect("/exec/ns/p/c?command=x&stdout=1", protocols=("v9.channel.k8s.io",))
        assert caught.value.status == 403

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/exec/ns/p/none?command=x&output=1", 500, 'container not found ("none")'),
        ("/exec/ns/none/c?command=x&output=1", 404, "pod does not exist"),
        ("/exec/ns/p/c?output=1", 400, "command parameter required"),
        ("/exec/ns/p/c?command=x", 400, "you must specify at least 1"),
        ("/exec/ns/p/c?command=x&output=1", 400, "Upgrade request required"),
    ],
)
def test_refused_streams_are_answered_in_http(tmp_path: Path, path: str, status: int, text: str) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http, http.post(path) as answer:
            assert (answer.status, (await answer.text()).startswith(text)) == (status, True)

    run(tmp_path, scenario)


def test_a_runtime_that_refuses_is_an_http_error_for_websockets(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        server.streaming.refuse = True
        async with server.session() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect("/exec/ns/p/c?command=x&output=1", protocols=("v5.channel.k8s.io",))
        assert caught.value.status == 500

    run(tmp_path, scenario)


async def spdy_session(server: Server, path: str, protocol: str) -> tuple[Any, Any, bytes]:
    context = ssl.create_default_context(cadata=server.ca.cert_pem.decode())
    pair = pki.issue(server.ca, "kube-apiserver", client=True)
    cert = server.directory / "spdy.pem"
    cert.write_bytes(pair.cert_pem + pair.key_pem)
    context.load_cert_chain(cert)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
        f"X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode()
    )
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, loops.Loop])
def test_spdy_clients_talk_to_the_runtime_itself(tmp_path: Path, loop: Callable[[], Any]) -> None:
    async def scenario(server: Server) -> None:
        path = "/exec/ns/p/c?command=cat&input=1&output=1"
        reader, writer, head = await spdy_session(server, path, "v4.channel.k8s.io")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"X-Stream-Protocol-Version: v4.channel.k8s.io" in head
        codec = spdy.Codec()
        for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
            writer.write(codec.encode(spdy.SynStream(number, {"streamtype": kind})))
        payload = b"x" * 300_000
        writer.write(codec.encode(spdy.Data(3, payload, fin=True)))
        received = bytearray()
        while data := await reader.read(65536):
            for frame in codec.feed(data):
                if isinstance(frame, spdy.Data) and frame.stream == 5:
                    received += frame.data
        writer.close()
        assert bytes(received) == b"echo:" + payload

    run(tmp_path, scenario, loop)


def test_port_forward_carries_spdy_inside_websocket_messages(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        protocol = "SPDY/3.1+portforward.k8s.io"
        async with (
            server.session() as http,
            http.ws_connect("/portForward/ns/p", protocols=(protocol,)) as socket,
        ):
            assert socket.protocol == protocol
            codec = spdy.Codec()
            await socket.send_bytes(codec.encode(spdy.SynStream(1, {"streamtype": "error", "port": "80"})))
            (reply,) = codec.feed(await socket.receive_bytes())
            assert reply == spdy.SynReply(1)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, "waiting to start: trying and failing to pull image"),
        ({"terminated": {}}, "terminated"),
        ({}, "not available"),
    ],
)
def test_why_there_is_no_log(state: Any, text: str) -> None:
    pod = {"metadata": {"name": "p"}, "status": {"containerStatuses": [{"name": "c", "state": state}]}}
    assert missing_log(pod, "c", False) == f'container "c" in pod "p" is {text}'


def test_rates_need_a_second_between_readings() -> None:
    rates, second = stats.Rates(), 1_000_000_000
    assert rates.update([("a", 0, 0)]) == {}
    assert rates.update([("a", second // 2, 5)]) == {}
    assert rates.update([("a", 2 * second, second)]) == {"a": second // 2}
    assert rates.update([("a", 3 * second, 7)]) == {"a": second // 2}
    assert rates.update([]) == {}


def test_weak_ciphers_are_refused_and_silent_peers_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(webserver.Limits(), handshake=0.3, head=0.3)
    monkeypatch.setattr(webserver, "Limits", lambda: short)

    async def scenario(server: Server) -> None:
        weak = ssl.create_default_context(cadata=server.ca.cert_pem.decode())
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:AES128-SHA")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=weak)
        strong = ssl.create_default_context(cadata=server.ca.cert_pem.decode())
        for context in (None, strong):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            assert await asyncio.wait_for(reader.read(), SECONDS) == b""
            writer.close()

    run(tmp_path, scenario)
