"""Servers that an API server asks over HTTPS, for tests: webhooks, and those behind APIServices."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from apimachinery import pki


def certified(folder: Path, name: str, dns: tuple[str, ...], ips: tuple[str, ...] = ()) -> tuple[ssl.SSLContext, str]:
    """TLS with a certificate of an authority of its own, and that authority as a caBundle."""
    authority = pki.new_ca(f"{name}-ca")
    pair = pki.issue(authority, name, dns=dns, ips=ips, server=True)
    (folder / f"{name}.crt").write_bytes(pair.cert_pem)
    (folder / f"{name}.key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context, base64.b64encode(authority.cert_pem).decode()


@asynccontextmanager
async def served(handle: Any, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of the loopback at which a handler answers."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
