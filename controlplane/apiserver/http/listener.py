"""The secure listener: sockets, TLS with optional client certificates, an orderly stop."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Sequence

from apimachinery.kit import webserver
from apimachinery.kit.http import web
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.http.exchange import Pipeline, serve

# As long as Go's HTTP/2 servers wait between the frame that says so and the end.
_REST_SECONDS = 1.0


class ListenError(OSError):
    """The address cannot be listened on; the message says what to do."""


class Listener:
    """start() listens, stop() lets running requests finish for so many seconds."""

    def __init__(
        self, hosts: Sequence[str], port: int, tls: ssl.SSLContext | None, pipeline: Pipeline, catalog: Catalog
    ) -> None:
        """hosts: this server's own address, and ("" for none) one that it shares with others of this machine."""
        self._hosts, self._port, self._tls = hosts, port, tls

        async def handle(raw: web.BaseRequest) -> web.StreamResponse:
            return await serve(raw, pipeline, catalog)

        self._server = webserver.server(
            handle,
            limits=webserver.Limits(rest=_REST_SECONDS),
            handler_cancellation=True,
            # Upstream takes bodies as they come: a small one that unfolds into a large one is no API object.
            auto_decompress=False,
        )
        self._runner: web.ServerRunner | None = None

    async def start(self, shutdown_seconds: int) -> None:
        """Raises ListenError."""
        runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=shutdown_seconds)
        await runner.setup()
        for number, host in enumerate(self._hosts):
            if number and not host:
                continue
            site = webserver.Site(
                runner,
                host,
                self._port,
                ssl_context=self._tls,
                backlog=1024,
                reuse_address=True,
                reuse_port=bool(number),
            )
            try:
                await site.start()
            except OSError as error:
                await runner.cleanup()
                raise ListenError(error.errno, _why(error, host, self._port)) from error
        self._runner = runner

    @property
    def port(self) -> int:
        """The port in use, also when 0 was asked for."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another process; stop it or set another port"
    if error.errno == errno.EACCES:
        return f"no permission to listen on {host} port {port}; use a port above 1023 or run as root"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; set bind_host to one that is"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"
