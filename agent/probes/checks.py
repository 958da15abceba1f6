"""One attempt of a probe: exec, HTTP, TCP. Each ends within its timeout and never raises.

Source: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ .
"""

from __future__ import annotations

import asyncio
import enum
import functools
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from yarl import URL

from agent.cri.errors import CriError, CriTimeout
from agent.cri.model import ExecResult
from apimachinery.kit.http import aiohttp
from apimachinery.kit.tasks import within
from apimachinery.objects import Obj

_BODY_LIMIT = 10 * 1024
_USER_AGENT = "kube-probe/1.36"


class Outcome(enum.Enum):
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    """The attempt itself could not be made; it counts for nothing."""


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    output: str = ""
    warning: bool = False
    """A success that its owner should hear of."""


@dataclass(frozen=True)
class HttpRequest:
    scheme: str
    host: str
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def resolve_port(port: int | str, container: Obj) -> int:
    """A number, or the name of one of the container's ports. Raises ValueError."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    if port.isdigit():
        return int(port)
    raise ValueError(f"couldn't find port: {port} in container {container['name']}")


def http_request(action: Obj, container: Obj, pod_ip: str, agent: str = _USER_AGENT) -> HttpRequest:
    """An httpGet action; `agent` is who asks. Raises ValueError for an unknown port name."""
    path = action.get("path") or "/"
    if not path.startswith("/"):
        path = "/" + path
    headers = {"User-Agent": agent, "Accept": "*/*"}
    for header in action.get("httpHeaders") or ():
        headers[header["name"]] = header.get("value", "")
    return HttpRequest(
        scheme=(action.get("scheme") or "HTTP").lower(),
        host=action.get("host") or pod_ip,
        port=resolve_port(action["port"], container),
        path=quote(path, safe="/?=&%:@!$'()*+,;~-._"),
        headers=headers,
    )


@functools.lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    # A probe asks whether it answers, not who it is.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def http_check(request: HttpRequest, timeout: float, *, any_status: bool = False) -> Verdict:
    """200 to 399 is success, every answer where `any_status` is set; a redirect to another host counts as success
    without being followed."""
    try:
        return await within(_http(request, any_status), timeout)
    except asyncio.TimeoutError:
        text = f'Get "{request.url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return Verdict(Outcome.FAILURE, text)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Verdict(Outcome.FAILURE, f'Get "{request.url}": {_network_text(error, request)}')


async def _http(request: HttpRequest, any_status: bool) -> Verdict:
    connector = aiohttp.TCPConnector(ssl=_unverified(), force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        url = request.url
        for _ in range(10):
            async with session.get(url, headers=request.headers, allow_redirects=False) as answer:
                body = (await answer.content.read(_BODY_LIMIT)).decode("utf-8", "replace")
                if 300 <= answer.status < 400 and answer.headers.get("Location"):
                    following = answer.url.join(URL(answer.headers["Location"]))
                    if following.host != answer.url.host:
                        text = f"Probe terminated redirects, Response body: {body}"
                        return Verdict(Outcome.SUCCESS, text, warning=True)
                    url = str(following)
                    continue
                if any_status or 200 <= answer.status < 400:
                    return Verdict(Outcome.SUCCESS, body)
                return Verdict(Outcome.FAILURE, f"HTTP probe failed with statuscode: {answer.status}")
    return Verdict(Outcome.FAILURE, f'Get "{request.url}": stopped after 10 redirects')


def _network_text(error: Exception, request: HttpRequest) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"dial tcp {request.host}:{request.port}: connect: {_reason(error.os_error)}"
    return str(error) or type(error).__name__


def _reason(error: OSError) -> str:
    """ "connection refused"; asyncio puts its own words where the kernel's belong."""
    return (os.strerror(error.errno) if error.errno else str(error)).lower()


async def tcp_check(host: str, port: int, timeout: float) -> Verdict:
    """Success when the connection opens."""
    try:
        _, writer = await within(asyncio.open_connection(host, port), timeout)
    except asyncio.TimeoutError:
        return Verdict(Outcome.FAILURE, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Verdict(Outcome.FAILURE, f"dial tcp {host}:{port}: connect: {_reason(error)}")
    writer.transport.abort()
    return Verdict(Outcome.SUCCESS)


class ExecRuntime(Protocol):
    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult: ...


async def exec_check(runtime: ExecRuntime, container_id: str, command: Sequence[str], timeout: float) -> Verdict:
    """Exit status 0 is success; a command that outlives its timeout is a failure."""
    try:
        result = await runtime.exec_sync(container_id, command, timeout)
    except CriTimeout:
        return Verdict(Outcome.FAILURE, f"command timed out: {_shown(command)} timed out after {timeout:g}s")
    except CriError as error:
        if "timed out" in error.message or "deadline exceeded" in error.message.lower():
            return Verdict(Outcome.FAILURE, f"command timed out: {_shown(command)} timed out after {timeout:g}s")
        return Verdict(Outcome.UNKNOWN, str(error))
    output = (result.stdout + result.stderr)[:_BODY_LIMIT].decode("utf-8", "replace")
    return Verdict(Outcome.SUCCESS if result.exit_code == 0 else Outcome.FAILURE, output)


def _shown(command: Sequence[str]) -> str:
    return '"' + " ".join(command) + '"'
