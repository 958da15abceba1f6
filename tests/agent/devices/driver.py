"""A small DRA driver: it registers at a socket and prepares claims, by gRPC and with protobuf's own encoding."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio

from tests.agent.devices.protobufs import messages

PB = messages(
    {
        "PluginInfo": ("type", "name", "endpoint", "*versions"),
        "Status": ("#registered", "error"),
        "Claim": ("namespace", "uid", "name"),
        "Request": ("*:Claim claims",),
        "Device": ("*requests", "pool", "name", "*cdi", "share"),
        "Prepared": ("*:Device devices", "error"),
        "PreparedAll": ("{Prepared} claims",),
        "Unprepared": ("error",),
        "UnpreparedAll": ("{Unprepared} claims",),
    }
)
Call = tuple[str, tuple[str, ...]]


class Driver:
    """`answers`: by claim's name ("*": all others), its devices as keyword arguments, or a text that is the error; by
    `-NAME`, the error of giving it back.
    """

    def __init__(self, name: str, directory: Path, services: tuple[str, ...] = ("v1.DRAPlugin",)) -> None:
        self.name = name
        self.kind = "DRAPlugin"
        self.directory = directory
        self.services = services
        self.answers: dict[str, list[dict[str, Any]] | str] = {}
        self.skip: set[str] = set()
        self.hangs = False
        self.calls: list[Call] = []
        self.told: list[tuple[bool, str]] = []
        self.service_asked = ""
        self._servers: dict[Path, grpc.aio.Server] = {}

    @property
    def registration(self) -> Path:
        return self.directory / "plugins_registry" / f"{self.name}-reg.sock"

    @property
    def endpoint(self) -> Path:
        return self.directory / "plugins" / f"{self.name}.sock"

    async def start(self) -> None:
        """Serve, and then be found."""
        await self.serve()
        own = {"GetInfo": self._info, "NotifyRegistrationStatus": self._status}
        await self._serve(self.registration, {"pluginregistration.Registration": own})

    async def serve(self) -> None:
        """Answer calls, as after `fail`."""
        services = {
            f"k8s.io.kubelet.pkg.apis.dra.{each}": {
                "NodePrepareResources": self._prepare(each),
                "NodeUnprepareResources": self._unprepare,
            }
            for each in self.services
        }
        await self._serve(self.endpoint, services)

    async def fail(self) -> None:
        """Answer nothing more, and stay registered."""
        await self._servers.pop(self.endpoint).stop(0)

    async def stop(self) -> None:
        """Be gone; a server takes its socket along."""
        while self._servers:
            await self._servers.popitem()[1].stop(0)

    async def _serve(self, path: Path, services: Mapping[str, Mapping[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        server = grpc.aio.server()
        for name, methods in services.items():
            handlers = {method: grpc.unary_unary_rpc_method_handler(call) for method, call in methods.items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        server.add_insecure_port(f"unix://{path}")
        await server.start()
        self._servers[path] = server

    async def _info(self, _request: bytes, _context: Any) -> bytes:
        info = PB["PluginInfo"](type=self.kind, name=self.name, endpoint=str(self.endpoint), versions=self.services)
        return bytes(info.SerializeToString())

    async def _status(self, request: bytes, _context: Any) -> bytes:
        status = PB["Status"].FromString(request)
        self.told.append((status.registered, status.error))
        return b""

    def _prepare(self, service: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def prepare(request: bytes, _context: Any) -> bytes:
            self.service_asked = service
            answer = PB["PreparedAll"]()
            claims = self._asked("prepare", request)
            if self.hangs:
                await asyncio.Event().wait()
            for claim in claims:
                outcome = self.answers.get(claim.name, self.answers.get("*", []))
                entry = answer.claims[claim.uid]
                if isinstance(outcome, str):
                    entry.error = outcome
                else:
                    entry.devices.extend(PB["Device"](**device) for device in outcome)
            return bytes(answer.SerializeToString())

        return prepare

    async def _unprepare(self, request: bytes, _context: Any) -> bytes:
        answer = PB["UnpreparedAll"]()
        for claim in self._asked("unprepare", request):
            outcome = self.answers.get(f"-{claim.name}", "")
            answer.claims[claim.uid].error = outcome if isinstance(outcome, str) else ""
        return bytes(answer.SerializeToString())

    def _asked(self, what: str, request: bytes) -> list[Any]:
        claims = PB["Request"].FromString(request).claims
        self.calls.append((what, tuple(f"{c.namespace}/{c.name}/{c.uid}" for c in claims)))
        return [claim for claim in claims if claim.name not in self.skip]
