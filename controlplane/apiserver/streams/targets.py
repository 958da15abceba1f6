"""What the name in a proxied URL means: `[scheme:]NAME[:port]` of a Pod, a Service or a Node. Pure.

A target is a host and a port as the client wrote it (a number, or a name that the dialling machine may know), and
whether TLS is spoken. Only addresses that lead into the cluster are targets: to proxy to this machine, to its link, or
to an address that somebody wrote into an EndpointSlice by hand would lend the server's own position to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from apimachinery import errors
from apimachinery.numerals import INT64, whole
from apimachinery.objects import Obj

SERVICE_LABEL = "kubernetes.io/service-name"
_BROADCAST = "255.255.255.255"


@dataclass(frozen=True)
class Name:
    """A proxied object's name taken apart; `port` is a number, a port's name or ""."""

    scheme: str
    name: str
    port: str

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"


@dataclass(frozen=True)
class Ready:
    """A port of an endpoint that takes connections, and the (namespace, name) of the Pod it says it is."""

    address: str
    port: int
    pod: tuple[str, str] | None


def parse_name(text: str, what: str) -> Name:
    """Raises BadRequest for what names nothing; `what` is pod, service or node."""
    parts = text.split(":")
    scheme, name, port = parts if len(parts) == 3 else ("", parts[0], parts[1] if len(parts) == 2 else "")
    if len(parts) > 3 or not name or scheme not in ("", "http", "https"):
        raise errors.BadRequest(f"invalid {what} request {errors.quoted(text)}")
    return Name(scheme, name, port)


def is_proxyable(host: str) -> bool:
    """Whether an address may be proxied to: what Go calls global unicast."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    own = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not own and str(address) != _BROADCAST


def pod_port(pod: Obj, name: Name) -> str:
    """The named port, or the first that the pod declares, or the scheme's."""
    if name.port:
        return name.port
    declared = next((c["ports"] for c in pod["spec"].get("containers") or () if c.get("ports")), None)
    if declared:
        return str(declared[0]["containerPort"])
    return "443" if name.is_tls else "80"


def endpoint_port(service: Obj | None, name: Name) -> str:
    """What the endpoints call the port: a number is looked up among the Service's, anything else is a name already.

    Raises NotFound, ServiceUnavailable.
    """
    number = whole(name.port)
    if number is None or number >= INT64:
        return name.port
    if service is None:
        raise errors.not_found("services", name.name)
    for port in (service.get("spec") or {}).get("ports") or ():
        if port.get("port") == number:
            return str(port.get("name") or "")
    raise errors.ServiceUnavailable(f"no service port {number} found for service {errors.quoted(name.name)}")


def ready(slices: Iterable[Obj], port: str) -> Iterator[Ready]:
    """Every ready endpoint's address and number of the port that slices call so."""
    for found in slices:
        numbers = [p["port"] for p in found.get("ports") or () if (p.get("name") or "") == port and p.get("port")]
        for endpoint in found.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            target = endpoint.get("targetRef") or {}
            is_pod = target.get("kind") == "Pod"
            pod = (target.get("namespace") or "", target.get("name") or "") if is_pod else None
            for address in endpoint.get("addresses") or ():
                yield from (Ready(address, number, pod) for number in numbers)


def of_pods(found: Iterable[Ready], namespace: str, find: Callable[[str], Obj | None]) -> list[tuple[str, int]]:
    """(address, port) of the endpoints that are what they say: addresses of Pods of this namespace."""
    out = []
    for one in found:
        if one.pod is None or one.pod[0] != namespace:
            continue
        status = (find(one.pod[1]) or {}).get("status") or {}
        if one.address in {entry.get("ip") for entry in status.get("podIPs") or ()}:
            out.append((one.address, one.port))
    return out
