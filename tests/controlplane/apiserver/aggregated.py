"""A server behind an APIService for tests: real HTTPS on the loopback, which wants a front proxy's certificate."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from apimachinery import pki
from apimachinery.client import Client
from apimachinery.kinds import API_SERVICE, SERVICE
from tests.controlplane.apiserver import https

GROUP, VERSION = "flunders.test", "v1"
NAME = f"{VERSION}.{GROUP}"
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["get", "list"]}
    ],
}
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]


@functools.cache
def fronts() -> dict[str, bytes]:
    """Files by name: an authority of front proxies, and the certificate of one."""
    authority = pki.new_ca("front-proxies")
    pair = pki.issue(authority, "front-proxy-client", client=True)
    return {"front-ca.crt": authority.cert_pem, "front.crt": pair.cert_pem, "front.key": pair.key_pem}


def settings(folder: Path) -> dict[str, Any]:
    """What an API server needs to know to be a front proxy, and to believe one."""
    for name, content in fronts().items():
        (folder / name).write_bytes(content)
    return {
        "proxy_client_cert_file": folder / "front.crt",
        "proxy_client_key_file": folder / "front.key",
        "requestheader_client_ca_file": folder / "front-ca.crt",
    }


class Server:
    """answer: asked first; None leaves a request to what every server has."""

    def __init__(self, port: int, ca: str) -> None:
        self.port = port
        self.ca = ca
        self.answer: Answer | None = None
        self.asked: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        if not request.transport.get_extra_info("peercert"):
            return web.Response(status=401, text="who are you?")
        self.asked.append(request)
        given = await self.answer(request) if self.answer is not None else None
        if given is not None:
            return given
        if request.path == f"/apis/{GROUP}/{VERSION}":
            return web.json_response(RESOURCES)
        return web.Response(status=404, text="nothing here")

    def headers(self, path: str) -> dict[str, list[str]]:
        """Those of the last request for a path, by names in lower case."""
        found = next(one for one in reversed(self.asked) if one.path == path)
        out: dict[str, list[str]] = {}
        for name, value in found.headers.items():
            out.setdefault(name.lower(), []).append(value)
        return out

    def service(self) -> dict[str, Any]:
        return {
            "metadata": {"name": "flunders", "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }

    def api_service(self, **spec: Any) -> dict[str, Any]:
        """The APIService that leads here."""
        return {
            "metadata": {"name": NAME},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 1500,
                "versionPriority": 10,
                "service": {"namespace": "default", "name": "flunders", "port": self.port},
                "caBundle": self.ca,
                **spec,
            },
        }

    async def register(self, client: Client, **spec: Any) -> None:
        await client.create(SERVICE, self.service())
        await client.create(API_SERVICE, self.api_service(**spec))


@asynccontextmanager
async def aggregated(folder: Path) -> AsyncIterator[Server]:
    context, ca = https.certified(folder, "flunders", ("flunders.default.svc",))
    context.load_verify_locations(cadata=fronts()["front-ca.crt"].decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    made = Server(0, ca)
    async with https.served(made.handle, context) as made.port:
        yield made
