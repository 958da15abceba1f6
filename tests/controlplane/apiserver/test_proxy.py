"""What is looked at through the server: pages, redirects, every method, upgrades; and a host that is not there."""

import asyncio
import contextlib
import gzip

import aiohttp
import pytest
from aiohttp import web

from apimachinery.errors import ApiError
from apimachinery.kinds import NODE
from controlplane.apiserver.http.listener import Listener
from controlplane.apiserver.pipeline import status_response
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.streams import backend
from controlplane.apiserver.streams.proxy import Proxies
from controlplane.apiserver.streams.rewriting import Through

WAY = Through("/api/v1/namespaces/n/pods/p:80/proxy", ("10.1.2.3:80", "10.1.2.3"), "server:6443")


@pytest.mark.parametrize(
    ("given", "led"),
    [
        ("/rewriteme", "/api/v1/namespaces/n/pods/p:80/proxy/rewriteme"),
        ("/", "/api/v1/namespaces/n/pods/p:80/proxy/"),
        ("/a/../b/?q=1#f", "/api/v1/namespaces/n/pods/p:80/proxy/b/?q=1#f"),
        ("http://10.1.2.3:80/x", "/api/v1/namespaces/n/pods/p:80/proxy/x"),
        ("//10.1.2.3/x", "/api/v1/namespaces/n/pods/p:80/proxy/x"),
        ("http://server:6443/x", "http://server:6443/api/v1/namespaces/n/pods/p:80/proxy/x"),
        # Already led through, elsewhere, relative, no address at all.
        ("/api/v1/namespaces/n/pods/p:80/proxy/x", "/api/v1/namespaces/n/pods/p:80/proxy/x"),
        ("http://example.com/x", "http://example.com/x"),
        ("x/y", "x/y"),
        ("", ""),
        ("#top", "#top"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken/", "http://[broken/"),
    ],
)
def test_links(given, led):
    assert WAY.link(given) == led


@pytest.mark.parametrize(
    ("given", "led"),
    [
        ('<a href="/x">test</a>', '<a href="PREFIX/x">test</a>'),
        ("<A class=b HREF='/x?a=1&amp;b=2'>", '<A class=b HREF="PREFIX/x?a=1&amp;b=2">'),
        ("<img src=/i.png alt=/no usemap='/m'>", '<img src="PREFIX/i.png" alt=/no usemap="PREFIX/m">'),
        ('<p href="/x"><form action="/go"/>', '<p href="/x"><form action="PREFIX/go"/>'),
        ('<a title="a > b" href="/x">', '<a title="a > b" href="PREFIX/x">'),
        ('<!-- <a href="/x"> --><a href="/y">', '<!-- <a href="/x"> --><a href="PREFIX/y">'),
        (
            "<script src=\"/s.js\">var a = '<a href=\"/x\">'</script><a href='/y'>",
            '<script src="PREFIX/s.js">var a = \'<a href="/x">\'</script><a href="PREFIX/y">',
        ),
        ('<a href="/unfinished', '<a href="/unfinished'),
        ("a < b && c > d", "a < b && c > d"),
    ],
)
def test_pages(given, led):
    assert WAY.page(given) == led.replace("PREFIX", WAY.prefix)


def test_packed_pages_are_unpacked_and_packed_again():
    page = b'\xff<a href="/x">'
    led = b'\xff<a href="%s/x">' % WAY.prefix.encode()
    assert WAY.body(page, "") == led
    assert gzip.decompress(WAY.body(gzip.compress(page), "gzip")) == led
    assert WAY.body(page, "br") is None and WAY.body(page, "gzip") is None


async def host(request: web.BaseRequest) -> web.StreamResponse:
    if request.headers.get("Upgrade") == "websocket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"echo {message.data}")
        return socket
    if request.path == "/away":
        raise web.HTTPFound("/there")
    headers = {"Access-Control-Allow-Origin": "*", "X-Seen": request.headers.get("X-Forwarded-Uri", "")}
    if request.path == "/page":
        return web.Response(text='<a href="/x">x</a>', content_type="text/html", headers=headers)
    body = await request.read()
    text = f"{request.method} {request.path_qs} {body.decode()} {request.headers.get('Authorization')}"
    return web.Response(text=text, headers=headers)


@contextlib.asynccontextmanager
async def proxied():
    """The address under which a node is looked at through a server, whose port 1 is nobody's."""
    runner = web.ServerRunner(web.Server(host))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ports = {"n": runner.addresses[0][1], "gone": 1}

    def find(name):
        status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        return {
            "metadata": {"name": name},
            "status": {**status, "daemonEndpoints": {"kubeletEndpoint": {"Port": ports[name]}}},
        }

    proxies = Proxies(None, backend.Agents(find, None), backend.client_context(None, None, None))

    async def pipeline(request):
        assert request.kind is NODE and request.subresource == "proxy"
        try:
            return await proxies.node(request)
        except ApiError as error:
            return status_response(error)

    listener = Listener("127.0.0.1", 0, None, pipeline, builtin.catalog())
    await listener.start(1)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{listener.port}", headers={"Authorization": "Bearer t"}
    ) as http:
        try:
            yield http
        finally:
            await listener.stop()
            await runner.cleanup()


def through(test):
    async def main():
        async with proxied() as http:
            await test(http)

    asyncio.run(asyncio.wait_for(main(), 30))


PROXY = "/api/v1/nodes/n/proxy"


@pytest.mark.parametrize("method", ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"])
def test_every_method_passes_with_its_body_and_without_the_clients_token(method):
    async def test(http):
        body = None if method == "GET" else b"body"
        async with http.request(method, f"{PROXY}/some/path?method={method}", data=body) as answer:
            assert answer.status == 200
            wanted = f"{method} /some/path?method={method} {(body or b'').decode()} None"
            assert await answer.text() == wanted
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["X-Seen"] == f"{PROXY}/some/path"

    through(test)


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 200), ("DELETE", 200)])
def test_the_root_has_a_slash(method, status):
    async def test(http):
        async with http.request(method, f"{PROXY}?a=b", allow_redirects=False) as answer:
            assert answer.status == status
            assert answer.headers.get("Location") == (f"{PROXY}/?a=b" if status == 301 else None)
        async with http.get(f"{PROXY}/") as answer:
            assert answer.status == 200

    through(test)


def test_pages_and_redirects_lead_through_the_proxy():
    async def test(http):
        async with http.get(f"{PROXY}/page") as answer:
            assert await answer.text() == f'<a href="{PROXY}/x">x</a>'
        async with http.get(f"{PROXY}/away", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, f"{PROXY}/there")

    through(test)


def test_websockets_pass():
    async def test(http):
        async with http.ws_connect(f"{PROXY}/socket") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "echo hello"

    through(test)


def test_a_host_that_is_not_there_is_an_unavailable_service():
    async def test(http):
        async with http.get("/api/v1/nodes/gone/proxy/") as answer:
            told = await answer.json()
        assert (answer.status, told["reason"]) == (503, "ServiceUnavailable")
        assert told["message"].startswith("error trying to reach service: dial tcp 127.0.0.1:1: ")

    through(test)
