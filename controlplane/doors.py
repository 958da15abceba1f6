"""The door of a daemon that is no API server: health for everybody, the rest for whom the API server lets in; TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apimachinery.client import Client
from apimachinery.delegation import Delegate, PathGate
from apimachinery.informer import Informer
from apimachinery.kit import metrics, webserver
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.serve import TEXT, Route, ok, serve_http

# Upstream's --authorization-always-allow-paths.
OPEN = ("/healthz", "/livez", "/readyz")


@dataclass(frozen=True)
class Door:
    """Where a daemon is asked how it is; files are PEM."""

    host: str
    port: int
    cert: Path | None = None
    """None: a certificate made at the start, which nobody can judge, as upstream's daemons do."""
    key: Path | None = None
    client_ca: Path | None = None
    """Whose client certificates are believed; none: tokens alone."""


class Doored(Protocol):
    """Settings of a daemon that has such a door."""

    @property
    def health_host(self) -> str: ...
    @property
    def health_port(self) -> int: ...
    @property
    def tls_cert_file(self) -> Path | None: ...
    @property
    def tls_key_file(self) -> Path | None: ...
    @property
    def client_ca_file(self) -> Path | None: ...


def of(settings: Doored) -> Door:
    """The door that the settings say."""
    cert, key = settings.tls_cert_file, settings.tls_key_file
    return Door(settings.health_host, settings.health_port, cert, key, settings.client_ca_file)


def views(informers: Callable[[], Iterable[Informer]]) -> dict[str, Route]:
    """What such a daemon shows: that it lives, whether all its informers hold their first list, its metrics."""

    async def ready(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        late = [each.kind.plural for each in informers() if not each.has_synced]
        return (503, f"not synced: {', '.join(late)}".encode(), TEXT) if late else (200, b"ok", TEXT)

    async def figures(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        body, content_type = await asyncio.to_thread(metrics.exposition)
        return 200, body, content_type

    return {"/healthz": ok, "/livez": ok, "/readyz": ready, "/metrics": figures}


async def serve(lifecycle: Lifecycle, door: Door, name: str, client: Client, routes: Mapping[str, Route]) -> None:
    """Serve until the lifecycle stops. Raises OSError when the port is taken or a file cannot be read."""
    gate = PathGate(Delegate(client), OPEN)
    await serve_http(lifecycle, door.host, door.port, routes, ssl=_context(door, name), gate=gate.refusal)


def _context(door: Door, name: str) -> ssl.SSLContext:
    if door.cert is not None and door.key is not None:
        return webserver.tls_context(door.cert, door.key, door.client_ca)
    # Eight megabytes that a daemon with a certificate never needs.
    from apimachinery import pki

    pair = pki.issue(pki.new_ca(f"{name}-ca"), name, dns=("localhost",), ips=("127.0.0.1",), server=True)
    with tempfile.TemporaryDirectory(prefix="wherry") as folder:
        cert, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
        cert.write_bytes(pair.cert_pem)
        key.touch(0o600)
        key.write_bytes(pair.key_pem)
        return webserver.tls_context(cert, key, door.client_ca)
