"""Routes and listener of the agent's API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from agent import metrics as own_metrics
from agent.host.cgroups import Hierarchy
from agent.host.figures import Figures
from agent.node.address import node_addresses
from agent.probes import metrics as probes
from agent.server import cadvisor, checkpoint, configz, files, logs, stats
from agent.server.authorize import Gate
from agent.server.containers import Refused
from agent.server.streams import Streaming
from agent.server.tls import server_context
from agent.settings import AgentSettings
from agent.view import ContainerRef, RuntimeView
from apimachinery import component, objects
from apimachinery.client import Client
from apimachinery.kit import metrics, webserver
from apimachinery.kit import serve as plain
from apimachinery.kit.http import web
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"


class Api:
    """One handler for every path; `handle` is what the HTTP server calls."""

    def __init__(self, settings: AgentSettings, view: RuntimeView, gate: Gate) -> None:
        self._settings = settings
        self._gate = gate
        self._view = view
        self._streaming = Streaming(view, settings.streaming_host)
        self._rates = stats.Rates()
        self._figures_of = Figures(Hierarchy.detect())
        self._pages = component.pages("kubelet", settings, (*_DOCUMENTS, *_STREAMS))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Check the client, find the endpoint, turn refusals into answers."""
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        shown = request.headers.get("Authorization", "")
        refused = await self._gate.refusal((certificate or {}).get("subject"), shown, request.method, request.path)
        if refused is not None:
            return web.Response(status=refused[0], text=refused[1])
        try:
            return await self._dispatch(request)
        except Refused as error:
            return web.Response(status=error.status, text=error.text)

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        head, rest = (parts[0], parts[1:]) if parts else ("", [])
        reading = request.method in ("GET", "HEAD")
        if head == "containerLogs" and len(rest) == 3 and reading:
            return await logs.serve(request, self._view, *rest)
        if head == "checkpoint" and len(rest) == 3:
            if request.method != "POST":
                raise Refused(405, "405: Method Not Allowed")
            return await checkpoint.serve(request, self._view, self._settings.root_dir / "checkpoints", *rest)
        if head == "logs" and reading:
            return await files.serve(request, self._settings.system_log_dir)
        if head in ("exec", "attach", "run") and len(rest) in (3, 4):
            # Four parts: the third is the pod's uid.
            namespace, pod, container = rest[0], rest[1], rest[-1]
            uid = rest[2] if len(rest) == 4 else ""
            serving = {
                "exec": self._streaming.execute,
                "attach": self._streaming.attach,
                "run": self._streaming.run,
            }
            return await serving[head](request, namespace, pod, container, uid)
        if head == "portForward" and len(rest) in (2, 3):
            return await self._streaming.port_forward(request, *rest)
        path = "/" + "/".join(parts)
        if (path in _DOCUMENTS or path in self._pages) and not reading:
            raise Refused(405, "405: Method Not Allowed")
        if (page := self._pages.get(path)) is not None:
            return plain.shown(page, request)
        return await self._document(path)

    async def _document(self, path: str) -> web.Response:
        if path in ("/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop"):
            return health(self._view)
        if path in ("/pods", "/runningpods"):
            running = path == "/runningpods"
            return _json(pod_list([p for p in self._view.pods() if not running or self._running(p)]))
        if path == "/metrics":
            self._count()
            body, kind = metrics.exposition()
            return web.Response(body=body, headers={"Content-Type": kind})
        if path == "/metrics/probes":
            body, kind = metrics.exposition(probes.REGISTRY)
            return web.Response(body=body, headers={"Content-Type": kind})
        if path == "/metrics/cadvisor":
            return await self._kernel()
        if path == "/configz":
            return _json(configz.configuration(self._settings))
        if path in ("/metrics/resource", "/stats/summary"):
            return await self._figures(path)
        raise Refused(404, "404 page not found")

    def _count(self) -> None:
        uids = [pod["metadata"]["uid"] for pod in self._view.pods()]
        own_metrics.NODE_NAME.labels(self._settings.node_name).set(1)
        own_metrics.show_running(
            sum(self._view.sandbox_id(uid) is not None for uid in uids),
            [container for uid in uids for container in self._view.containers(uid)],
        )

    async def _figures(self, path: str) -> web.Response:
        machine, usages = stats.machine_usage(self._settings.root_dir), await self._view.usage()
        pods = self._view.pods()
        if path == "/metrics/resource":
            text = stats.resource_metrics(machine, pods, usages)
            return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4"})
        readings = [(u.ref.id, u.timestamp_ns, u.cpu_usage_ns) for u in usages if u.cpu_usage_ns is not None]
        readings.append(("node", machine.timestamp_ns, machine.cpu_ns))
        rates = self._rates.update(readings)
        return _json(stats.summary(self._settings.node_name, machine, pods, usages, rates))

    async def _kernel(self) -> web.Response:
        """What the kernel counts; read in a thread, for there are many small files."""
        settings, view = self._settings, self._view
        pods = [(pod, box) for pod in view.pods() if (box := view.sandbox_id(pod["metadata"]["uid"])) is not None]
        # Together: a runtime that does not answer keeps the page waiting once, and not once a pod.
        images = await asyncio.gather(*(view.sandbox_image(sandbox) for _, sandbox in pods))
        placed = [
            cadvisor.Placed(pod, sandbox, image, self._running(pod))
            for (pod, sandbox), image in zip(pods, images, strict=True)
        ]
        body = await asyncio.to_thread(cadvisor.page, settings.root_dir, settings.cgroup_root, self._figures_of, placed)
        return web.Response(body=body.encode(), headers={"Content-Type": "text/plain; version=0.0.4"})

    def _running(self, pod: Obj) -> list[ContainerRef]:
        return [ref for ref in self._view.containers(pod["metadata"]["uid"]) if ref.state == "running"]


_DOCUMENTS = (
    "/configz",
    "/healthz",
    "/metrics",
    "/metrics/cadvisor",
    "/metrics/probes",
    "/metrics/resource",
    "/pods",
    "/runningpods",
    "/stats/summary",
)
_STREAMS = ("/attach", "/checkpoint", "/containerLogs", "/exec", "/logs", "/portForward", "/run")


def health(view: RuntimeView) -> web.Response:
    """`ok`, or 500 and why not."""
    problem = view.healthy()
    return web.Response(status=500, text=problem) if problem else web.Response(text="ok")


def pod_list(pods: list[Obj]) -> Obj:
    """A v1 PodList."""
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}


def _json(body: Obj) -> web.Response:
    return web.Response(body=objects.dumps(body), content_type="application/json")


async def serve(lifecycle: Lifecycle, settings: AgentSettings, view: RuntimeView, client: Client | None) -> int:
    """Listen until the lifecycle stops; the port. Raises OSError naming an address that is taken.

    `client` asks the API server who may come in; None on a node without one.
    """
    gate = Gate(client, settings.node_name)
    context = server_context(settings, node_addresses(settings))
    # A follower or a shell whose client is gone must not live on.
    server = webserver.server(Api(settings, view, gate).handle, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    site = webserver.Site(runner, settings.bind_address, settings.port, ssl_context=context)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        where = f"{settings.bind_address}:{settings.port}"
        raise OSError(error.errno, f"cannot listen on {where}: {error.strerror}") from error
    lifecycle.push("agent api", runner.cleanup)
    if settings.healthz_port:
        await plain.serve_http(lifecycle, "127.0.0.1", settings.healthz_port, {"/healthz": _plain_health(view)})
    port: int = runner.addresses[0][1]
    return port


def _plain_health(view: RuntimeView) -> plain.Route:
    async def answer(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        problem = view.healthy()
        return (500, problem.encode(), _TEXT) if problem else (200, b"ok", _TEXT)

    return answer
