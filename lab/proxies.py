"""How the proxies of a lab's nodes are set and what they do, as each says itself at its metrics port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.tasks import within
from apimachinery.zpages import FLAGZ
from lab import names
from lab.components import PROXY_METRICS_PORT
from lab.spec import Spec
from netproxy.modes import AUTO, mode_names
from netproxy.trace.model import Proxy

_ASK_SECONDS, _ALL_SECONDS = 2.0, 6.0
"""for one answer; for all there is to hear from all nodes, which are asked side by side"""
_AS_FLAGS = "application/json;as=Flagz;v=v1beta1;g=config.k8s.io"


async def proxies(spec: Spec) -> dict[str, Proxy]:
    """By node. Of one that does not answer nothing is known but what the lab asks of it."""
    return dict(await asyncio.gather(*(_proxy(spec, node.name, spec.mode_of(node)) for node in spec.nodes)))


async def _proxy(spec: Spec, node: str, mode: str) -> tuple[str, Proxy]:
    space = netns.path_of(names.namespace(spec.name, node))
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, asyncio.TimeoutError):
        return node, await within(asyncio.to_thread(_ask, space), _ALL_SECONDS)
    # Which one "auto" became only the proxy knows.
    return node, Proxy(mode_names()[0] if mode == AUTO else mode)


def _ask(space: Path) -> Proxy:
    """What the proxy in a namespace says of itself. Blocks; raises OSError, HTTPException or ValueError."""
    with netns.open_socket(space, socket.AF_INET, socket.SOCK_STREAM) as handle:
        handle.settimeout(_ASK_SECONDS)
        handle.connect(("127.0.0.1", PROXY_METRICS_PORT))
        asked = http.client.HTTPConnection("127.0.0.1")
        asked.sock = handle
        mode = _answer(asked, "/proxyMode", "text/plain").decode()
        return proxy_of(mode, json.loads(_answer(asked, FLAGZ, _AS_FLAGS))["flags"])


def _answer(asked: http.client.HTTPConnection, path: str, accept: str) -> bytes:
    asked.request("GET", path, headers={"Accept": accept})
    answer = asked.getresponse()
    if answer.status != 200:
        raise http.client.HTTPException(f"{path}: {answer.status}")
    return answer.read()


def proxy_of(mode: str, flags: Mapping[str, str]) -> Proxy:
    """The mode it is in and its flags, as /flagz shows them. Pure."""
    wanted = _words(flags["node-port-addresses"])
    cidrs = [word for word in wanted if word != "primary"]
    primary = _words(flags["node-ips"]) if len(cidrs) < len(wanted) else []
    return Proxy(mode, flags["masquerade-all"] == "true", (*cidrs, *primary), flags["pod-interface"])


def _words(shown: str) -> list[str]:
    return [word for word in shown.strip("[]").split(",") if word]
