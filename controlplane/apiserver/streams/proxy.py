"""pods|services|nodes NAME/proxy: an HTTP request passed on to what the object stands for, answer streamed back.

A name may say how: `[scheme:]NAME[:port]` (`targets`). Upgrades are tunnelled as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from multidict import CIMultiDict

from apimachinery import errors
from apimachinery.kinds import POD, SERVICE
from apimachinery.numerals import whole
from controlplane.apiserver.request import HIJACKED, Reply, Request, Response
from controlplane.apiserver.streams import backend, forwarding, targets, tunnel, wire
from controlplane.apiserver.streams.backend import Address, Agents
from controlplane.apiserver.streams.rewriting import Through
from controlplane.apiserver.streams.services import slices_of

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# What the client was given by this server, or by another host behind it.
_PRIVATE = frozenset({"cookie"})
# Longer pages keep the links that they have.
PAGE_LIMIT = 4 * 1024 * 1024
_LOOKUP_SECONDS = 10.0


class Proxies:
    """The handlers. `pick` chooses one of several endpoints, `may` says which addresses are proxied to."""

    def __init__(
        self,
        registry: Registry,
        agents: Agents,
        tls: ssl.SSLContext,
        pick: Callable[[list[tuple[str, int]]], tuple[str, int]] = random.choice,
        may: Callable[[str], bool] = targets.is_proxyable,
    ) -> None:
        self._registry = registry
        self._agents = agents
        self._tls = tls
        self._pick = pick
        self._may = may

    async def node(self, request: Request) -> Reply:
        name = targets.parse_name(request.name, "node")
        agent = self._agents.address(name.name)
        await self._check_host(agent.host)
        if name.port in ("", str(agent.port)):
            return await self._pass_on(request, agent)
        return await self._pass_on(request, self._address(agent.host, name.port, name))

    async def pod(self, request: Request) -> Reply:
        name = targets.parse_name(request.name, "pod")
        pod = self._registry.get(POD, request.namespace, name.name)
        host = (pod.get("status") or {}).get("podIP") or ""
        if not self._may(host):
            raise errors.BadRequest("address not allowed")
        return await self._pass_on(request, self._address(host, targets.pod_port(pod, name), name))

    async def service(self, request: Request) -> Reply:
        name = targets.parse_name(request.name, "service")
        host, port = self._pick(self._endpoints(request, name))
        return await self._pass_on(request, self._address(host, str(port), name))

    def _endpoints(self, request: Request, name: targets.Name) -> list[tuple[str, int]]:
        """Where a Service's port is served. Raises NotFound, ServiceUnavailable."""
        space = request.namespace
        service = self._registry.find(SERVICE, space, name.name)
        port = targets.endpoint_port(service, name)
        slices = slices_of(self._registry, space, name.name)
        if service is None and not slices:
            raise errors.not_found("services", name.name)
        if not any(found.get("endpoints") for found in slices):
            raise _without_endpoints(name.name)
        ready = targets.ready(slices, port)
        found = targets.of_pods(ready, space, lambda pod: self._registry.find(POD, space, pod))
        allowed = [one for one in found if self._may(one[0])]
        if not allowed:
            raise _without_endpoints(request.name)
        return allowed

    def _address(self, host: str, port: str, name: targets.Name) -> Address:
        return Address(host, _number(port), self._tls if name.is_tls else None)

    async def _check_host(self, host: str) -> None:
        """A node may be known by a name. Raises BadRequest when that leads to where nobody may be proxied."""
        try:
            lookup = asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = await asyncio.wait_for(lookup, _LOOKUP_SECONDS)
        except (OSError, asyncio.TimeoutError) as error:
            raise errors.BadRequest(f"lookup {host}: {error or 'i/o timeout'}") from error
        if not all(self._may(str(address[0])) for *_, address in found):
            raise errors.BadRequest("address not allowed")

    async def _pass_on(self, request: Request, address: Address) -> Reply:
        upgrade = request.is_upgrade
        if not upgrade and not request.tail and not request.path.endswith("/") and request.method in ("GET", "HEAD"):
            # Relative links of a page at the root would lead elsewhere without the slash.
            query = f"?{request.raw_query}" if request.raw_query else ""
            return Response(301, b"", "text/plain; charset=utf-8", {"Location": f"{request.path}/{query}"})
        path = request.tail or "/"
        target = f"{path}?{request.raw_query}" if request.raw_query else path
        headers = list(_headers(request, upgrade))
        body = None if upgrade or request.method in ("GET", "HEAD") else request.stream()
        try:
            answer = await backend.call(address, request.method, target, headers, body)
        except errors.InternalError as error:
            why = error.message.removeprefix("error dialing backend: ")
            raise errors.ServiceUnavailable(f"error trying to reach service: {why}", details={}) from error
        if answer.head.status == 101:
            await tunnel.join(tunnel.transport_of(request.transport), answer)
            return HIJACKED
        way = Through(request.path.removesuffix(path).rstrip("/"), hosts(address), request.headers.get("Host", ""))
        return await answer_of(request, answer, way)


def _without_endpoints(name: str) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(f"no endpoints available for service {errors.quoted(name)}")


def _number(port: str) -> int:
    """The number of a port that may be given by a service's name, as Go's dialler reads it. Raises
    ServiceUnavailable.
    """
    why = f"lookup tcp/{port}: unknown port"
    if port[:1].isdigit() and (number := whole(port)) is not None:
        if number < 1 << 16:
            return number
        why = f"address {port}: invalid port"
    with contextlib.suppress(OSError, ValueError):
        return socket.getservbyname(port.lower(), "tcp")
    raise errors.ServiceUnavailable(f"error trying to reach service: dial tcp: {why}", details={})


class Answered(Protocol):
    """An answer whose head has been read. It is done with when its body has been, or when it is closed."""

    @property
    def head(self) -> wire.Head: ...

    def body(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


async def answer_of(request: Request, answer: Answered, way: Through) -> Response:
    """What the client is sent of an answer: its links, if it has any, lead through the proxy."""
    # What is said several times stays so: cookies are no list (RFC 9110, section 5.3).
    said = [one for one in wire.end_to_end(answer.head.headers) if one[0] not in _DROPPED]
    kept = CIMultiDict(said)
    media = answer.head.get("content-type") or "application/octet-stream"
    status = answer.head.status
    if request.method == "HEAD":
        await answer.close()
        return Response(status, b"", media, kept)
    if target := answer.head.get("location"):
        kept["location"] = way.link(target)
        return Response(status, answer.body(), media, kept)
    if media.partition(";")[0].strip().lower() != "text/html":
        return Response(status, answer.body(), media, kept)
    start, rest = await _read(answer)
    if rest is not None:
        return Response(status, _after(start, rest), media, kept)
    encoding = answer.head.get("content-encoding").lower()
    return Response(status, way.body(start, encoding) or start, media, kept)


async def _read(answer: Answered) -> tuple[bytes, AsyncIterator[bytes] | None]:
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


def hosts(address: Address) -> tuple[str, ...]:
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


def _headers(request: Request, upgrade: bool) -> Iterable[tuple[str, str]]:
    yield from forwarding.passed_on(request, upgrade, _PRIVATE)
    if not upgrade:
        yield "Connection", "close"
        if request.method not in ("GET", "HEAD") and "Content-Length" not in request.headers:
            yield "Transfer-Encoding", "chunked"
