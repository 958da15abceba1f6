"""The way from this server to what a Service stands for, for servers that are asked over HTTPS by a Service's name.

Addresses come from the Service's endpoints: the server needs no proxy beside it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import ssl
from collections.abc import Callable
from typing import Any

from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit.http import aiohttp
from apimachinery.objects import Obj
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.streams import targets

_UNTRUSTED = "certificate signed by unknown authority"
# OpenSSL's verification results in the words of Go's x509.
_X509 = {10: "certificate has expired or is not yet valid", 9: "certificate has expired or is not yet valid"}
_HOSTNAME_MISMATCH = 62


class Unresolved(Exception):
    """There is no address behind the Service."""


class Services:
    """Services by what the server knows of them. `pick` chooses one of several endpoints."""

    def __init__(self, registry: Registry, pick: Callable[[list[Any]], Any] = random.choice) -> None:
        self._registry = registry
        self._pick = pick

    def resolve(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """An address behind a Service: a ready endpoint, or the cluster IP where nobody tells endpoints. Raises
        Unresolved.
        """
        service = self.find(namespace, name)
        if service is None:
            raise Unresolved(f'service "{name}" not found')
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return str(spec.get("externalName")), port
        called = port_name(service, port)
        if called is None:
            raise Unresolved(f'no service port {port} found for service "{name}"')
        slices = self.slices(namespace, name)
        address = spec.get("clusterIP") or ""
        if not slices and address not in ("", "None"):
            return address, port
        found = [(one.address, one.port) for one in targets.ready(slices, called)]
        if not found:
            raise Unresolved(f'no endpoints available for service "{name}"')
        host, number = self._pick(found)
        return str(host), int(number)

    def find(self, namespace: str, name: str) -> Obj | None:
        return self._registry.find(SERVICE, namespace, name)

    def slices(self, namespace: str, name: str) -> list[Obj]:
        """The EndpointSlices of a Service."""
        return slices_of(self._registry, namespace, name)


def slices_of(registry: Registry, namespace: str, name: str) -> list[Obj]:
    """The EndpointSlices of a Service. It is asked of each request that goes to one: of the namespace's others nothing
    is decoded but once their labels.
    """
    listed = registry.collection(ENDPOINT_SLICE).scan(namespace)
    return [entry.obj for entry in listed if entry.labels.get(targets.SERVICE_LABEL) == name]


def port_name(service: Obj, port: int) -> str | None:
    """What a Service calls the port of a number; None when it has none."""
    listed = (service.get("spec") or {}).get("ports") or ()
    return next((str(one.get("name") or "") for one in listed if one.get("port") == port), None)


def trusting(ca: bytes) -> ssl.SSLContext:
    """Trusts what a caBundle holds, as Go does: also a server's own or an intermediate certificate. Raises
    ssl.SSLError for one that holds none.

    Without a bundle the machine's authorities are trusted.
    """
    context = ssl.create_default_context(cadata=ca.decode("ascii", errors="replace") if ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    # Later Pythons refuse certificates whose extensions are not quite in order, which Go accepts.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def why(error: BaseException, where: str, name: str = "") -> str:
    """An error of the connection in the words of Go's client. where: the address dialled, when it is not in the URL;
    name: whom a certificate must name, when that is not.
    """
    if isinstance(error, asyncio.TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate(error.certificate_error, name or error.host)}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            return "http: server gave HTTP response to HTTPS client"
        return f"tls: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        text = os.strerror(number).lower() if number else str(error.os_error)
        if not text:
            # It hung up on our first word: no server of TLS.
            return "EOF"
        return f"dial tcp {where or f'{error.host}:{error.port}'}: connect: {text}"
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        return "EOF"
    if isinstance(error, OSError) and error.errno == errno.ECONNRESET:
        return "read: connection reset by peer"
    return str(error) or type(error).__name__


def _certificate(error: BaseException, host: str) -> str:
    code = getattr(error, "verify_code", 0)
    if code == _HOSTNAME_MISMATCH:
        return f"certificate is not valid for {host}"
    return _X509.get(code, _UNTRUSTED)
