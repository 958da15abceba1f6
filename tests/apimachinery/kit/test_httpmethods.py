"""Methods that are none of the common ones come through as they were spelled, on real sockets."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from apimachinery.kit import webserver
from tests.waiting import WHOLE


def exchange(*requests: bytes) -> list[bytes]:
    """The answers to requests that are sent one after the other on one connection."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        return web.Response(text=f"<{request.method} {request.path} {body.decode()}>")

    async def main() -> list[bytes]:
        runner = web.ServerRunner(webserver.server(handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        answers = []
        for sent in requests:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
            answers.append(head.split(b"\r\n")[0] + b" " + await reader.readexactly(length))
        writer.close()
        await runner.cleanup()
        return answers

    return asyncio.run(asyncio.wait_for(main(), WHOLE))


def test_any_token_is_a_method_and_the_connection_goes_on() -> None:
    host = b" HTTP/1.1\r\nHost: x\r\n"
    assert exchange(
        b"GET /a" + host + b"\r\n",
        b"BREW /b" + host + b"Content-Length: 3\r\n\r\ntea",
        b"get /c" + host + b"\r\n",
        b"POST /d" + host + b"Content-Length: 2\r\n\r\nxy",
    ) == [
        b"HTTP/1.1 200 OK <GET /a >",
        b"HTTP/1.1 200 OK <BREW /b tea>",
        b"HTTP/1.1 200 OK <get /c >",
        b"HTTP/1.1 200 OK <POST /d xy>",
    ]


@pytest.mark.parametrize("line", [b"BR[W / HTTP/1.1", b"\xc3\xa9 / HTTP/1.1", b"BREW", b"GE GET / HTTP/1.1"])
def test_what_is_no_token_is_no_http(line: bytes) -> None:
    assert exchange(line + b"\r\nHost: x\r\n\r\n")[0].split()[1] == b"400"
    assert exchange(b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n")[0].split()[1] == b"200"
