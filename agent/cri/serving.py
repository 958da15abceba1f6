"""A gRPC server at a unix socket, for whoever registers with the agent or asks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

Handler = Callable[[bytes], Awaitable[bytes]]


class CallError(Exception):
    """What the caller is told: the call failed, with this text."""


class Server:
    """`methods`: by `/package.Service/Method`, each from the bytes of its request to those of its answer."""

    def __init__(self, socket: Path, methods: Mapping[str, Handler]) -> None:
        self._server = grpc.aio.server()
        services: dict[str, dict[str, Any]] = {}
        for path, handler in methods.items():
            _, service, method = path.split("/")
            services.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(_answering(handler))
        handlers = tuple(grpc.method_handlers_generic_handler(name, found) for name, found in services.items())
        self._server.add_generic_rpc_handlers(handlers)
        self._server.add_insecure_port(f"unix://{socket.absolute()}")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        """The socket goes, too."""
        await self._server.stop(0)


def _answering(handler: Handler) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def answer(request: bytes, context: Any) -> bytes:
        try:
            return await handler(request)
        except CallError as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise

    return answer
