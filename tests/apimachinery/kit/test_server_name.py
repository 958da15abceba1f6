"""No answer of ours names the library that made it, not even one to what is no HTTP."""

import asyncio

import pytest
from aiohttp import web

from apimachinery.kit import webserver
from tests.waiting import WHOLE


async def handle(request: web.BaseRequest) -> web.StreamResponse:
    if request.path == "/broken":
        raise RuntimeError("broken")
    if request.path == "/stream":
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"piece")
        await response.write_eof()
        return response
    return web.Response(text="ok")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /broken HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"500"),
        (b"this is no HTTP\r\n\r\n", b"400"),
    ],
)
def test_answers_do_not_tell_what_they_are_made_with(sent: bytes, status: bytes) -> None:
    async def main() -> bytes:
        runner = web.ServerRunner(webserver.server(handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        await runner.cleanup()
        return answer

    head = asyncio.run(asyncio.wait_for(main(), WHOLE)).partition(b"\r\n\r\n")[0]
    assert head.split(b" ")[1] == status
    assert b"server:" not in head.lower() and b"aiohttp" not in head.lower()
