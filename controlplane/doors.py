"""The door of a daemon that is no API server: health for everybody, the rest for whom the API server lets in; TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from apimachinery import component
from apimachinery.client import Client
from apimachinery.delegation import Delegate, PathGate
from apimachinery.informer import Informer
from apimachinery.kit import metrics, webserver
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.serve import TEXT, Route, ok, serve_http
from controlplane.settings import DaemonSettings

# Upstream's --authorization-always-allow-paths.
OPEN = ("/healthz", "/livez", "/readyz")


def views(
    informers: Callable[[], Iterable[Informer]], measure: Callable[[], object] = lambda: None
) -> dict[str, Route]:
    """What such a daemon shows: that it lives, whether all its informers hold their first list, its metrics.

    measure: called before each look at the metrics, for what is counted only then.
    """

    async def ready(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        late = [each.kind.plural for each in informers() if not each.has_synced]
        return (503, f"not synced: {', '.join(late)}".encode(), TEXT) if late else (200, b"ok", TEXT)

    async def figures(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        measure()
        body, content_type = await asyncio.to_thread(metrics.exposition)
        return 200, body, content_type

    return {"/healthz": ok, "/livez": ok, "/readyz": ready, "/metrics": figures}


async def serve(
    lifecycle: Lifecycle, settings: DaemonSettings, name: str, client: Client, routes: Mapping[str, Route]
) -> None:
    """Serve until the lifecycle stops, /statusz and /flagz besides. Raises OSError when the port is taken or a file
    cannot be read.
    """
    gate, pages = PathGate(Delegate(client), OPEN), component.pages(name, settings, routes)
    host, port = settings.health_host, settings.health_port
    await serve_http(lifecycle, host, port, routes, ssl=_context(settings, name), gate=gate.refusal, pages=pages)


def _context(settings: DaemonSettings, name: str) -> ssl.SSLContext:
    given = settings.tls_cert_file, settings.tls_key_file
    if given[0] is not None and given[1] is not None:
        return webserver.tls_context(given[0], given[1], settings.client_ca_file)
    # Eight megabytes that a daemon with a certificate never needs.
    from apimachinery import pki

    pair = pki.issue(pki.new_ca(f"{name}-ca"), name, dns=("localhost",), ips=("127.0.0.1",), server=True)
    with tempfile.TemporaryDirectory(prefix="wherry") as folder:
        cert, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
        cert.write_bytes(pair.cert_pem)
        key.touch(0o600)
        key.write_bytes(pair.key_pem)
        return webserver.tls_context(cert, key, settings.client_ca_file)
