"""A webhook's server for tests: real HTTPS on the loopback, with answers that a test gives it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.controlplane.apiserver import https

Answer = Callable[[dict[str, Any]], Any]


class Backend:
    """answer makes of a review's request the response (uid is added), an HTTP response or an awaitable of one."""

    def __init__(self, port: int, ca: str) -> None:
        self.port = port
        self.ca = ca
        self.answer: Answer = lambda request: {"allowed": True}
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.connections: set[Any] = set()

    def config(self, path: str = "/hook", **more: Any) -> dict[str, Any]:
        """A clientConfig that reaches this server."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.ca, **more}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.paths.append(request.path_qs)
        self.connections.add(request.transport)
        self.asked.append(body["request"])
        answer = self.answer(body["request"])
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, web.StreamResponse):
            return answer
        response = {"uid": body["request"]["uid"], **answer}
        return web.json_response({"kind": body["kind"], "apiVersion": body["apiVersion"], "response": response})


@asynccontextmanager
async def backend(folder: Path, dns: tuple[str, ...] = ("hook.default.svc",)) -> AsyncIterator[Backend]:
    context, ca = https.certified(folder, "hook", dns, ("127.0.0.1",))
    made = Backend(0, ca)
    async with https.served(made.handle, context) as made.port:
        yield made


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A response that allows and changes."""
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def hook(backend: Backend, name: str = "a.hook.test", **more: Any) -> dict[str, Any]:
    """A webhook about every ConfigMap that is created in namespaces labelled hooked."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    return {
        "name": name,
        "clientConfig": backend.config(),
        "rules": [rule],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
        **more,
    }


def rule(
    resource: str = "configmaps", operation: str = "CREATE", group: str = "", version: str = "v1", **more: Any
) -> Any:
    """Rules of one row."""
    row = {"apiGroups": [group], "apiVersions": [version], "resources": [resource], "operations": [operation], **more}
    return {"rules": [row]}
