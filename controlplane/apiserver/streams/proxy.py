"""pods|services|nodes NAME/proxy: an HTTP request passed on to what the object stands for, answer streamed back.

A name may say how: `[scheme:]NAME[:port]`. Upgrades are tunnelled as they are.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import ENDPOINT_SLICE, POD, SERVICE
from apimachinery.objects import Obj
from controlplane.apiserver.request import HIJACKED, Reply, Request, Response
from controlplane.apiserver.streams import backend, tunnel, wire
from controlplane.apiserver.streams.backend import Address, Agents
from controlplane.apiserver.streams.rewriting import Through

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# Never passed on: the client's credentials are for this server alone.
PRIVATE = frozenset({"authorization", "cookie", "host"})
# Longer pages keep the links that they have.
PAGE_LIMIT = 4 * 1024 * 1024
SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Name:
    """A proxied object's name taken apart; `port` is a number, a port's name or ""."""

    scheme: str
    name: str
    port: str


def parse_name(text: str) -> Name:
    """Raises BadRequest for more parts than there can be or an unknown scheme."""
    parts = text.split(":")
    if len(parts) == 1:
        return Name("", text, "")
    if len(parts) == 2:
        return Name("", parts[0], parts[1])
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return Name(parts[0], parts[1], parts[2])
    raise errors.BadRequest(f'invalid proxy target "{text}"')


def pod_address(pod: Obj, name: Name, tls: ssl.SSLContext) -> Address:
    """Where a pod's port is. Raises BadRequest when the pod has no address, or none that may be proxied to."""
    host = (pod.get("status") or {}).get("podIP", "")
    port = name.port
    if not port:
        ports = [p for c in pod["spec"].get("containers") or () for p in c.get("ports") or ()]
        port = str(ports[0]["containerPort"]) if ports else "443" if name.scheme == "https" else "80"
    return _address(host, port, name.scheme, tls)


def _address(host: str, port: str, scheme: str, tls: ssl.SSLContext) -> Address:
    if not _allowed(host):
        raise errors.BadRequest("address not allowed")
    if not port.isdigit():
        raise errors.BadRequest(f'invalid port "{port}"')
    return Address(host, int(port), tls if scheme == "https" else None)


def _allowed(host: str) -> bool:
    """Proxying to this machine itself or to its link would lend the server's own position to the client."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def endpoints(service: Obj, slices: Iterable[Obj], port: str) -> list[tuple[str, int]]:
    """(address, port) of every ready endpoint behind one port of a service, named by name or number."""
    ports = (service.get("spec") or {}).get("ports") or []
    chosen = [p for p in ports if port in (p.get("name"), str(p.get("port")))] if port else ports[:1]
    if not chosen:
        raise errors.ServiceUnavailable(f'no service port "{port}" found for service "{service["metadata"]["name"]}"')
    wanted = chosen[0].get("name") or ""
    out = []
    for found in slices:
        numbers = [p["port"] for p in found.get("ports") or () if (p.get("name") or "") == wanted and p.get("port")]
        for endpoint in found.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                out += [(address, n) for address in endpoint.get("addresses") or () for n in numbers]
    return out


class Proxies:
    """The handlers. `pick` chooses one of several endpoints."""

    def __init__(
        self,
        registry: Registry,
        agents: Agents,
        tls: ssl.SSLContext,
        pick: Callable[[list[tuple[str, int]]], tuple[str, int]] = random.choice,
    ) -> None:
        self._registry = registry
        self._agents = agents
        self._tls = tls
        self._pick = pick

    async def node(self, request: Request) -> Reply:
        name = parse_name(request.name)
        return await self._pass_on(request, self._agents.address(name.name))

    async def pod(self, request: Request) -> Reply:
        name = parse_name(request.name)
        pod = self._registry.get(POD, request.namespace, name.name)
        return await self._pass_on(request, pod_address(pod, name, self._tls))

    async def service(self, request: Request) -> Reply:
        name = parse_name(request.name)
        service = self._registry.get(SERVICE, request.namespace, name.name)
        labelled = (
            s
            for s in self._registry.items(ENDPOINT_SLICE, request.namespace)
            if (s["metadata"].get("labels") or {}).get(SERVICE_LABEL) == name.name
        )
        found = endpoints(service, labelled, name.port)
        if not found:
            raise errors.ServiceUnavailable(f'no endpoints available for service "{request.name}"')
        host, port = self._pick(found)
        return await self._pass_on(request, _address(host, str(port), name.scheme, self._tls))

    async def _pass_on(self, request: Request, address: Address) -> Reply:
        upgrade = "upgrade" in request.headers.get("Connection", "").lower() and "Upgrade" in request.headers
        if not upgrade and not request.tail and not request.path.endswith("/") and request.method in ("GET", "HEAD"):
            # Relative links of a page at the root would lead elsewhere without the slash.
            query = f"?{request.raw_query}" if request.raw_query else ""
            return Response(301, b"", "text/plain; charset=utf-8", {"Location": f"{request.path}/{query}"})
        path = request.tail or "/"
        target = f"{path}?{request.raw_query}" if request.raw_query else path
        headers = [*_forwarded(request, upgrade), ("X-Forwarded-Uri", request.path)]
        body = None if upgrade or request.method in ("GET", "HEAD") else request.stream()
        try:
            answer = await backend.call(address, request.method, target, headers, body)
        except errors.InternalError as error:
            why = error.message.removeprefix("error dialing backend: ")
            raise errors.ServiceUnavailable(f"error trying to reach service: {why}", details={}) from error
        if answer.head.status == 101:
            await tunnel.join(tunnel.transport_of(request.transport), answer)
            return HIJACKED
        way = Through(request.path.removesuffix(path).rstrip("/"), _hosts(address), request.headers.get("Host", ""))
        return await _answer(request, answer, way)


async def _answer(request: Request, answer: backend.Connection, way: Through) -> Response:
    """What the client is sent of an answer: its links, if it has any, lead through the proxy."""
    kept = {k: v for k, v in answer.head.headers if k not in wire.HOP_BY_HOP and k not in _DROPPED}
    media = answer.head.get("content-type") or "application/octet-stream"
    status = answer.head.status
    if request.method == "HEAD":
        await answer.close()
        return Response(status, b"", media, kept)
    if target := answer.head.get("location"):
        return Response(status, answer.body(), media, {**kept, "location": way.link(target)})
    if media.partition(";")[0].strip().lower() != "text/html":
        return Response(status, answer.body(), media, kept)
    start, rest = await _read(answer)
    if rest is not None:
        return Response(status, _after(start, rest), media, kept)
    encoding = answer.head.get("content-encoding").lower()
    return Response(status, way.body(start, encoding) or start, media, kept)


async def _read(answer: backend.Connection) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """A whole body and None; or the start of one that is too long to be held, and its rest."""
    out, pieces = bytearray(), answer.body()
    async for piece in pieces:
        out += piece
        if len(out) > PAGE_LIMIT:
            return bytes(out), pieces
    return bytes(out), None


async def _after(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for piece in rest:
        yield piece


def _hosts(address: Address) -> tuple[str, ...]:
    """Where the proxied host was dialled, as it may write that."""
    default = 443 if address.tls else 80
    bare = (address.authority.removesuffix(f":{address.port}"),) if address.port == default else ()
    return (address.authority, *bare)


# Said anew here; and what the proxied host allows other pages' scripts is not for this server's origin.
_DROPPED = frozenset(
    {
        "content-length",
        "content-type",
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
    }
)


def _forwarded(request: Request, upgrade: bool) -> Iterable[tuple[str, str]]:
    """The client's headers without its credentials and without those about its own connection."""
    for name, value in request.headers.items():
        low = name.lower()
        if low in PRIVATE or low.startswith("impersonate-"):
            continue
        if low not in wire.HOP_BY_HOP or (upgrade and low in ("connection", "upgrade")):
            yield name, value
    if not upgrade:
        yield "Connection", "close"
        if request.method not in ("GET", "HEAD") and "Content-Length" not in request.headers:
            yield "Transfer-Encoding", "chunked"
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if peer:
        yield "X-Forwarded-For", str(peer[0])
