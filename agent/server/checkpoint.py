"""/checkpoint/NAMESPACE/POD/CONTAINER: has the runtime write a running container to a file.

A runtime that cannot (containerd before 2.0, any without CRIU) says so, and that is the answer.
Source: https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/ .
"""

from __future__ import annotations

import time
from pathlib import Path

from agent.cri.errors import CriError
from agent.server.containers import Refused, find_pod
from agent.view import RuntimeView
from apimachinery import objects
from apimachinery.kit.http import web
from apimachinery.numerals import int64

_LISTS = ("containers", "initContainers", "ephemeralContainers")


async def serve(
    request: web.BaseRequest, view: RuntimeView, directory: Path, namespace: str, name: str, container: str
) -> web.Response:
    """The archives that were written, as {"items": [path]}: files of the node, which only root reads."""
    pod = find_pod(view, namespace, name)
    if not any(each["name"] == container for group in _LISTS for each in pod["spec"].get(group) or ()):
        raise Refused(404, f"container {container} does not exist")
    found = view.find_container(pod["metadata"]["uid"], container)
    if found is None:
        raise _failed(namespace, name, container, f"container {container} not found")
    timeout = _timeout(request)
    if timeout < 0:
        raise _failed(namespace, name, container, "CheckpointContainer requires the timeout value to be > 0")
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    location = directory / f"checkpoint-{name}_{namespace}-{container}-{moment}.tar"
    # Before the runtime is asked to write what a container had in its memory.
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        await view.checkpoint(found.id, location, timeout)
    except CriError as error:
        raise _failed(namespace, name, container, str(error)) from error
    return web.Response(body=objects.dumps({"items": [str(location)]}), content_type="application/json")


def _failed(namespace: str, pod: str, container: str, why: str) -> Refused:
    return Refused(500, f"checkpointing of {namespace}/{pod}/{container} failed ({why})")


def _timeout(request: web.BaseRequest) -> int:
    """Seconds, of several the last; no more than usual is as usual."""
    given = request.query.getall("timeout", [])
    number = int64(given[-1]) if given else 0
    if number is None:
        raise Refused(404, "cannot parse value of timeout parameter")
    return number
