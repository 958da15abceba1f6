"""A whole API server in this process, over HTTPS on a loopback port of its own, for tests."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from apimachinery import pki
from apimachinery.client import Client
from apimachinery.kit.lifecycle import Lifecycle
from controlplane.apiserver.app import build
from controlplane.apiserver.settings import Settings

DEADLINE = 60


@functools.cache
def credentials() -> dict[str, bytes]:
    """Files by name. Made once: an RSA key takes longer than most tests."""
    authority = pki.new_ca("test")
    server = pki.issue(authority, "kube-apiserver", ips=("127.0.0.1",), server=True)
    admin = pki.issue(authority, "admin", organizations=("system:masters",), client=True)
    files = {"ca.crt": authority.cert_pem, "sa.key": pki.service_account_key()}
    for name, pair in (("server", server), ("admin", admin)):
        files |= {f"{name}.crt": pair.cert_pem, f"{name}.key": pair.key_pem}
    return files


def prepare(folder: Path) -> Settings:
    """Settings with certificates in the folder, which keeps what it has."""
    if not (folder / "ca.crt").exists():
        for name, content in credentials().items():
            (folder / name).write_bytes(content)
    return Settings(
        data_dir=folder / "data",
        bind_host="127.0.0.1",
        port=0,
        advertise_address="192.0.2.1",
        service_cidr="10.97.0.0/24",
        node_port_range="30000-30099",
        tls_cert_file=folder / "server.crt",
        tls_key_file=folder / "server.key",
        client_ca_file=folder / "ca.crt",
        service_account_key_file=folder / "sa.key",
    )


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Client]:
    """A client of a server that keeps its state in folder."""
    lifecycle = Lifecycle()
    listener = await build(replace(prepare(folder), **settings), lifecycle)
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    client = Client(f"https://127.0.0.1:{listener.port}", context)
    try:
        yield client
    finally:
        await client.close()
        lifecycle.request_stop()
        await lifecycle.wait()


def anonymous(folder: Path, client: Client) -> Client:
    """A client of the same server that presents no certificate."""
    return Client(client.server, ssl.create_default_context(cafile=str(folder / "ca.crt")))


def run(folder: Path, test: Callable[[Client], Awaitable[None]], **settings: Any) -> None:
    """Run a test against a server of its own."""

    async def main() -> None:
        async with serving(folder, **settings) as client:
            await test(client)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
