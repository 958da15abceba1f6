"""/exec, /attach, /portForward and /run: who serves which of the clients' protocols."""

from __future__ import annotations

from agent.server import channels, portforward, remotecommand, tunnel
from agent.server.containers import Refused, find_pod, running_container
from agent.server.dial import DialError
from agent.view import RuntimeView
from apimachinery.kit.http import web

RUN_SECONDS = 600.0


def _offered(request: web.BaseRequest) -> list[str]:
    header = request.headers.get("Sec-WebSocket-Protocol", "")
    return [word.strip() for word in header.split(",") if word.strip()]


class Streaming:
    """The streaming endpoints over one RuntimeView."""

    def __init__(self, view: RuntimeView, host: str) -> None:
        self._view = view
        self._host = host

    async def execute(
        self, request: web.BaseRequest, namespace: str, pod: str, container: str, uid: str = ""
    ) -> web.StreamResponse:
        """Run a command with streams attached."""
        found = running_container(self._view, find_pod(self._view, namespace, pod, uid), container)
        command = request.query.getall("command", [])
        if not command:
            raise Refused(400, "command parameter required")
        wanted = self._wanted(request)
        url = await self._url(
            self._view.exec_url(
                found.id,
                command,
                stdin=wanted.stdin,
                stdout=wanted.stdout,
                stderr=wanted.stderr and not wanted.tty,
                tty=wanted.tty,
            )
        )
        return await self._remote_command(request, url, wanted)

    async def attach(
        self, request: web.BaseRequest, namespace: str, pod: str, container: str, uid: str = ""
    ) -> web.StreamResponse:
        """Join the streams of a running container; its terminal is as it was started."""
        body = find_pod(self._view, namespace, pod, uid)
        found = running_container(self._view, body, container)
        wanted = self._wanted(request)
        url = await self._url(
            self._view.attach_url(
                found.id,
                stdin=wanted.stdin,
                stdout=wanted.stdout,
                stderr=wanted.stderr and not wanted.tty,
                tty=wanted.tty,
            )
        )
        return await self._remote_command(request, url, wanted)

    async def port_forward(
        self, request: web.BaseRequest, namespace: str, pod: str, uid: str = ""
    ) -> web.StreamResponse:
        """Connections into the pod's network."""
        body = find_pod(self._view, namespace, pod, uid)
        sandbox = self._view.sandbox_id(body["metadata"]["uid"])
        if sandbox is None:
            raise Refused(500, f"unable to do port forwarding: pod {pod} is not running")
        named = request.query.getall("ports", []) or request.query.getall("port", [])
        text = ",".join(named)
        ports = [int(word) for word in text.split(",") if word.isdigit()]
        url = await self._url(self._view.port_forward_url(sandbox, ports))
        if portforward.TUNNEL in _offered(request):
            return await portforward.serve(request, url, self._host)
        if text and tunnel.is_upgrade(request.headers, "websocket"):
            url += f"?port={text}"
        return await self._tunnel(request, url)

    async def run(
        self, request: web.BaseRequest, namespace: str, pod: str, container: str, uid: str = ""
    ) -> web.StreamResponse:
        """Run a command and answer with its output."""
        found = running_container(self._view, find_pod(self._view, namespace, pod, uid), container)
        command = request.query.getall("cmd", request.query.getall("command", []))
        words = command[0].split(" ") if len(command) == 1 else command
        result = await self._view.exec_sync(found.id, words, RUN_SECONDS)
        if result.exit_code:
            raise Refused(500, f"command '{' '.join(words)}' exited with {result.exit_code}")
        return web.Response(body=result.stdout + result.stderr, content_type="text/plain")

    def _wanted(self, request: web.BaseRequest) -> remotecommand.Wanted:
        wanted = remotecommand.wanted(request.query)
        if not (wanted.stdin or wanted.stdout or wanted.stderr):
            raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
        return wanted

    async def _url(self, asking: object) -> str:
        try:
            return str(await asking)  # type: ignore[misc]
        except Exception as error:
            raise Refused(500, str(error)) from error

    async def _remote_command(
        self, request: web.BaseRequest, url: str, wanted: remotecommand.Wanted
    ) -> web.StreamResponse:
        if tunnel.is_upgrade(request.headers, "websocket"):
            offered = _offered(request)
            if offered and not set(channels.PROTOCOLS).intersection(offered):
                text = f"requested protocol(s) are not supported: {offered}; supports {list(channels.PROTOCOLS)}"
                raise Refused(403, text)
            try:
                return await remotecommand.serve(request, url, self._host, wanted)
            except DialError as error:
                raise Refused(500, str(error)) from error
        return await self._tunnel(request, url)

    async def _tunnel(self, request: web.BaseRequest, url: str) -> web.StreamResponse:
        if "Upgrade" not in request.headers:
            raise Refused(400, "Upgrade request required")
        await tunnel.join(request, url, self._host)
        # The connection is closed: nobody reads this.
        return web.Response()
