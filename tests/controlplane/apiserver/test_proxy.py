"""What is looked at through the server: pages, redirects, every method, upgrades; and a host that is not there."""

import asyncio
import contextlib
import gzip
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDict

from apimachinery import pki
from apimachinery.errors import ApiError
from apimachinery.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from apimachinery.kit import webserver
from controlplane.apiserver.cache import entry
from controlplane.apiserver.cache.collection import Collection
from controlplane.apiserver.cache.entry import encode
from controlplane.apiserver.http.listener import Listener
from controlplane.apiserver.pipeline import status_response
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.streams import backend, targets
from controlplane.apiserver.streams.proxy import Proxies
from controlplane.apiserver.streams.rewriting import Through
from controlplane.apiserver.streams.services import slices_of
from tests.waiting import WHOLE

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
    packed = WAY.body(gzip.compress(page), "gzip")
    assert packed is not None and gzip.decompress(packed) == led
    assert WAY.body(page, "br") is None and WAY.body(page, "gzip") is None


# Long enough to be packed by this server, too, and of what hardly packs.
LONG_PAGE = random.Random(1).randbytes(200_000).replace(b"<", b"")


async def host(request: web.BaseRequest) -> web.StreamResponse:
    if request.headers.get("Upgrade") == "websocket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        async for message in socket:
            await socket.send_str(f"echo {message.data} {offered}".strip())
        return socket
    if request.path == "/headers":
        return web.json_response(sorted([name.lower(), value] for name, value in request.headers.items()))
    if request.path == "/away":
        raise web.HTTPFound("/there")
    headers = {"Access-Control-Allow-Origin": "*", "X-Seen": request.headers.get("X-Forwarded-Uri", "")}
    if request.path == "/page":
        return web.Response(text='<a href="/x">x</a>', content_type="text/html", headers=headers)
    if request.path == "/packed":
        packed = {**headers, "Content-Encoding": "gzip", "Content-Type": "text/html"}
        return web.Response(body=gzip.compress(LONG_PAGE, 0), headers=packed)
    if request.path == "/cookies":
        cookies = [("Set-Cookie", "a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT"), ("Set-Cookie", "b=2")]
        return web.Response(headers=CIMultiDict([*headers.items(), *cookies]))
    body = await request.read()
    secrets = [name for name in request.headers if name.startswith(("Authorization", "X-Remote-"))] or None
    text = f"{request.method} {request.path_qs} {body.decode()} {secrets}"
    return web.Response(text=text, headers=headers)


class Known:
    """A registry of what is behind the names: a Pod and a Service on this machine."""

    def __init__(self, plain, secure):
        ports = {"web": plain, "tls": secure}
        address = {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        containers = [{"ports": [{"containerPort": plain}, {"containerPort": secure}]}]
        target = {"kind": "Pod", "namespace": "n", "name": "p"}

        def slice_of(service, ports, **endpoint):
            told = [{"name": name, "port": port} for name, port in ports.items()]
            metadata = {"labels": {"kubernetes.io/service-name": service}}
            return {"metadata": metadata, "ports": told, "endpoints": [{"addresses": ["127.0.0.1"], **endpoint}]}

        def service(ports):
            return {"spec": {"ports": [{"name": name, "port": number} for number, name in ports.items()]}}

        self.pods = {"p": {"spec": {"containers": containers}, "status": address}, "new": {"spec": {}, "status": {}}}
        self.services = {
            "s": service({80: "web", 443: "tls"}),
            "one": service({80: ""}),
            "byhand": service({80: ""}),
            "empty": service({80: ""}),
        }
        self.slices = [
            slice_of("s", ports, targetRef=target),
            slice_of("one", {"": plain}, targetRef=target),
            slice_of("byhand", {"": plain}),
        ]

    def find(self, kind, namespace, name):
        return (self.pods if kind is POD else self.services).get(name)

    def get(self, kind, namespace, name):
        return self.find(kind, namespace, name) or pytest.fail(name)

    def collection(self, kind):
        found = Collection(kind)
        for number, told in enumerate(self.slices):
            found.load("n", f"s{number}", number + 1, encode(told))
        return found


def test_slices_of_other_services_are_not_decoded_for_each_request(monkeypatch):
    collection = Collection(ENDPOINT_SLICE)
    for number in range(600):
        labels = {"kubernetes.io/service-name": f"s{number}"}
        collection.load("n", f"s{number}", number + 1, encode({"metadata": {"name": f"s{number}", "labels": labels}}))
    registry = cast(Any, SimpleNamespace(collection=lambda kind: collection))
    decoded: list[bytes] = []

    def loads(text):
        decoded.append(text)
        return orjson.loads(text)

    monkeypatch.setattr(entry, "orjson", SimpleNamespace(loads=loads))
    assert [len(slices_of(registry, "n", name)) for name in ("s0", "nobody", "s1")] == [1, 0, 1]
    # Each once for its labels; and who was asked for, when that was long ago.
    assert len(decoded) <= 602


@contextlib.asynccontextmanager
async def hosts(folder):
    """The ports of a plain host and of one with a certificate that nobody has signed."""
    pair = pki.issue(pki.new_ca("nobody"), "somebody", server=True)
    (folder / "crt").write_bytes(pair.cert_pem)
    (folder / "key").write_bytes(pair.key_pem)
    runner = web.ServerRunner(web.Server(host))
    await runner.setup()
    context = webserver.tls_context(folder / "crt", folder / "key")
    for tls in (None, context):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield [address[1] for address in runner.addresses]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def proxied(folder, may=lambda address: True):
    """A client of a server that knows nodes, a pod and services behind which two hosts are; also their ports."""
    async with hosts(folder) as (plain, secure):
        agents = {"n": plain, "gone": 1}

        def find(name):
            status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
            return {
                "metadata": {"name": name},
                "status": {**status, "daemonEndpoints": {"kubeletEndpoint": {"Port": agents[name]}}},
            }

        tls = backend.client_context(None, None, None)
        proxies = Proxies(cast(Any, Known(plain, secure)), backend.Agents(find, None), tls, may=may)
        handlers = {NODE: proxies.node, POD: proxies.pod, SERVICE: proxies.service}

        async def pipeline(request):
            assert request.subresource == "proxy"
            try:
                return await handlers[request.kind](request)
            except ApiError as error:
                return status_response(error)

        listener = Listener(("127.0.0.1",), 0, None, pipeline, builtin.catalog())
        await listener.start(1)
        base = f"http://127.0.0.1:{listener.port}"
        try:
            async with aiohttp.ClientSession(base, headers={"Authorization": "Bearer t"}) as http:
                yield http, (plain, secure)
        finally:
            await listener.stop()


def through(test, **options):
    async def main():
        with tempfile.TemporaryDirectory(prefix="wht") as folder:
            async with proxied(Path(folder), **options) as (http, ports):
                await (test(http, ports) if test.__code__.co_argcount == 2 else test(http))

    asyncio.run(asyncio.wait_for(main(), WHOLE))


PROXY = "/api/v1/nodes/n/proxy"


@pytest.mark.parametrize("method", ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"])
def test_every_method_passes_with_its_body_and_without_who_asks(method):
    named = {"Authorization": "Bearer t", "X-Remote-User": "jane", "X-Remote-Group": "g", "X-Remote-Extra-A": "1"}

    async def test(http):
        body = None if method == "GET" else b"body"
        path = f"{PROXY}/some/path?method={method}"
        async with http.request(method, path, data=body, headers=named) as answer:
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


def test_a_packed_page_is_packed_once():
    async def test(http):
        async with http.get(f"{PROXY}/packed") as answer:
            assert answer.headers.getall("Content-Encoding") == ["gzip"]
            assert await answer.read() == LONG_PAGE

    through(test)


def test_each_cookie_passes_by_itself():
    async def test(http):
        async with http.get(f"{PROXY}/cookies") as answer:
            told = answer.headers.getall("Set-Cookie")
        assert told == ["a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT", "b=2"]

    through(test)


def test_websockets_pass():
    async def test(http):
        async with http.ws_connect(f"{PROXY}/socket") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "echo hello"

    through(test)


def test_a_websockets_token_stays_here():
    async def test(http):
        offered = ("base64url.bearer.authorization.k8s.io.dA", "chat")
        async with http.ws_connect(f"{PROXY}/socket", protocols=offered) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "echo hello chat"

    through(test)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_about_the_clients_connection_ends_here(method):
    """And what is said of the way is said once."""

    async def test(http):
        given = {
            "Connection": "keep-alive, x-hop ,Content-Length",
            "X-Hop": "1",
            "X-End": "1",
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Uri": "/made/up",
        }
        async with http.request(method, f"{PROXY}/headers", headers=given, data=b"x" * (method == "POST")) as answer:
            seen = [(name, value) for name, value in await answer.json() if name.startswith(("x-", "connection"))]
        assert seen == [
            ("connection", "close"),
            ("x-end", "1"),
            ("x-forwarded-for", "192.0.2.1, 127.0.0.1"),
            ("x-forwarded-uri", f"{PROXY}/headers"),
        ]

    through(test)


def test_a_host_that_is_not_there_is_an_unavailable_service():
    async def test(http):
        async with http.get("/api/v1/nodes/gone/proxy/") as answer:
            told = await answer.json()
        assert (answer.status, told["reason"]) == (503, "ServiceUnavailable")
        assert told["message"].startswith("error trying to reach service: dial tcp 127.0.0.1:1: ")

    through(test)


SPACE = "/api/v1/namespaces/n"
FORMS = {
    "nodes": ("n", "n:{plain}", "http:n:{plain}", "http:n:", "https:n:{secure}"),
    "pods": ("p", "p:", "p:{plain}", "http:p:{plain}", "http:p:", "https:p:{secure}"),
    "services": ("one", "one:", "one:80", "http:one:", "http:one:80", "s:web", "s:80", "https:s:tls", "https:s:443"),
}


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind, forms in FORMS.items() for form in forms])
def test_every_form_of_a_name_leads_there(kind, form):
    """Over TLS too, with a certificate that is nobody's."""

    async def test(http, ports):
        name = form.format(plain=ports[0], secure=ports[1])
        start = "/api/v1" if kind == "nodes" else SPACE
        async with http.get(f"{start}/{kind}/{name}/proxy/x?y=z") as answer:
            assert (answer.status, await answer.text()) == (200, "GET /x?y=z  None")

    through(test)


# More digits than Python reads.
MANY = "9" * 5000
BAD, AWAY = (400, "BadRequest"), (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("path", "refusal", "message"),
    [
        ("services/s", AWAY, 'no endpoints available for service "s"'),
        ("services/s:nope", AWAY, 'no endpoints available for service "s:nope"'),
        ("services/https:one:tls", AWAY, 'no endpoints available for service "https:one:tls"'),
        ("services/s:81", AWAY, 'no service port 81 found for service "s"'),
        ("services/byhand", AWAY, 'no endpoints available for service "byhand"'),
        ("services/empty:80", AWAY, 'no endpoints available for service "empty"'),
        ("services/nobody", (404, "NotFound"), 'services "nobody" not found'),
        ("services/nobody:80", (404, "NotFound"), 'services "nobody" not found'),
        ("services/ftp:s:80", BAD, 'invalid service request "ftp:s:80"'),
        ("pods/a:b:c:d", BAD, 'invalid pod request "a:b:c:d"'),
        ("pods/p:nope", AWAY, "error trying to reach service: dial tcp: lookup tcp/nope: unknown port"),
        ("pods/p:65536", AWAY, "error trying to reach service: dial tcp: address 65536: invalid port"),
        (f"pods/p:{MANY}", AWAY, f"error trying to reach service: dial tcp: address {MANY}: invalid port"),
        (f"services/s:{MANY}", AWAY, f'no endpoints available for service "s:{MANY}"'),
        ("pods/https:p:1", AWAY, None),
    ],
)
def test_names_that_lead_nowhere(path, refusal, message):
    async def test(http):
        async with http.get(f"{SPACE}/{path}/proxy/") as answer:
            told = await answer.json()
        assert (answer.status, told["reason"]) == refusal
        assert message is None or told["message"] == message

    through(test)


@pytest.mark.parametrize("path", ["/api/v1/nodes/n", f"{SPACE}/pods/p", f"{SPACE}/pods/new"])
def test_what_is_the_server_s_own_is_not_proxied_to(path):
    async def test(http):
        async with http.get(f"{path}/proxy/") as answer:
            told = await answer.json()
        assert (answer.status, told["message"]) == (400, "address not allowed")

    through(test, may=targets.is_proxyable)


def test_plain_text_where_tls_is_spoken_is_an_unavailable_service():
    async def test(http, ports):
        async with http.get(f"{SPACE}/pods/https:p:{ports[0]}/proxy/") as answer:
            told = await answer.json()
        assert (answer.status, told["reason"]) == AWAY
        assert told["message"].startswith(f"error trying to reach service: dial tcp 127.0.0.1:{ports[0]}: ")

    through(test)
