"""GET /containerLogs/NAMESPACE/POD/CONTAINER: the log as a stream of bytes."""

from __future__ import annotations

from collections.abc import Mapping

from agent.logs.lines import Options, since_of
from agent.logs.read import read_log
from agent.server.containers import Refused, find_pod, logged_container
from agent.view import RuntimeView
from apimachinery import timestamps
from apimachinery.kit.http import web

_TRUE = ("1", "true", "True")


def options_of(query: Mapping[str, str]) -> tuple[Options, bool]:
    """PodLogOptions in query form, and whether the previous container is meant. Raises Refused."""
    try:
        seconds = int(query["sinceSeconds"]) if query.get("sinceSeconds") else None
        moment = timestamps.parse_time(query["sinceTime"]) if query.get("sinceTime") else None
        tail = query.get("tailLines") or query.get("tail") or ""
        options = Options(
            follow=query.get("follow", "") in _TRUE,
            tail_lines=int(tail) if tail and tail != "all" else None,
            since_ns=since_of(timestamps.now(), seconds, moment),
            limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
            timestamps=query.get("timestamps", "") in _TRUE,
            stream={"Stdout": "stdout", "Stderr": "stderr"}.get(query.get("stream", ""), ""),
        )
    except ValueError as error:
        raise Refused(400, f"invalid log options: {error}") from error
    if (options.tail_lines or 0) < 0 or (options.limit_bytes is not None and options.limit_bytes < 1):
        raise Refused(422, "tailLines and limitBytes must not be negative")
    return options, query.get("previous", "") in _TRUE


async def serve(
    request: web.BaseRequest, view: RuntimeView, namespace: str, pod_name: str, name: str
) -> web.StreamResponse:
    """Stream the log; a follower is let go when its container ends or it hangs up."""
    options, previous = options_of(request.query)
    pod = find_pod(view, namespace, pod_name)
    container = logged_container(view, pod, name, previous)
    uid = pod["metadata"]["uid"]

    def running() -> bool:
        if request.transport is None or request.transport.is_closing():
            return False
        current = next((c for c in view.containers(uid) if c.id == container.id), None)
        return current is not None and current.state in ("running", "created")

    response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for chunk in read_log(container.log_path, options, running):
            await response.write(chunk)
    except FileNotFoundError:
        await response.write(f"unable to retrieve container logs for containerd://{container.id}".encode())
    except ConnectionResetError:
        return response
    await response.write_eof()
    return response
