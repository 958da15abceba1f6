"""pods|services|nodes NAME/proxy: an HTTP request passed on to what the object stands for, answer streamed back.

A name may say how: `[scheme:]NAME[:port]`. Upgrades are tunnelled as they are.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import ENDPOINT_SLICE, POD, SERVICE
from apimachinery.objects import Obj
from controlplane.apiserver.request import HIJACKED, Reply, Request, Response
from controlplane.apiserver.streams import backend, tunnel, wire
from controlplane.apiserver.streams.backend import Address, Agents

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# Never passed on: the client's credentials are for this server alone.
PRIVATE = frozenset({"authorization", "cookie", "host"})
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
        return await self._pass_on(request, self._agents.address(name.name), request.tail or "/")

    async def pod(self, request: Request) -> Reply:
        name = parse_name(request.name)
        pod = self._registry.get(POD, request.namespace, name.name)
        return await self._pass_on(request, pod_address(pod, name, self._tls), request.tail or "/")

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
        return await self._pass_on(request, _address(host, str(port), name.scheme, self._tls), request.tail or "/")

    async def _pass_on(self, request: Request, address: Address, path: str) -> Reply:
        target = f"{path}?{request.raw_query}" if request.raw_query else path
        upgrade = "upgrade" in request.headers.get("Connection", "").lower() and "Upgrade" in request.headers
        headers = list(_forwarded(request, upgrade))
        body = None if upgrade or request.method in ("GET", "HEAD") else request.stream()
        answer = await backend.call(address, request.method, target, headers, body)
        if answer.head.status == 101:
            await tunnel.join(tunnel.transport_of(request.transport), answer)
            return HIJACKED
        kept = {k: v for k, v in answer.head.headers if k not in wire.HOP_BY_HOP and k not in _REFRAMED}
        media = answer.head.get("content-type") or "application/octet-stream"
        if request.method == "HEAD":
            await answer.close()
            return Response(answer.head.status, b"", media, kept)
        return Response(answer.head.status, answer.body(), media, kept)


_REFRAMED = frozenset({"content-length", "content-type"})


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
