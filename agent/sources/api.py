"""Pods the API server has bound to this node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agent.cri.names import CONFIG_MIRROR
from agent.sources.model import PodSink
from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.objects import Obj


class ApiSource:
    """A PodSource over a watch of spec.nodeName."""

    name = "api"

    def __init__(self, client: Client, node_name: str, ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Nothing is delivered before `ready` returns: pods are judged by the Node's labels and taints."""
        self._ready = ready
        self._informer = Informer(client, kinds.POD, field_selector=f"spec.nodeName={node_name}")

    async def run(self, sink: PodSink) -> None:
        """Deliver until cancelled."""

        def changed(old: Obj | None, new: Obj | None) -> None:
            deliver(sink, self.name, old, new)

        if self._ready is not None:
            await self._ready()
        self._informer.add_handler(changed)
        watching = asyncio.ensure_future(self._informer.run())
        try:
            await self._informer.wait_synced()
            sink.synced(self.name)
            await watching
        finally:
            watching.cancel()


def deliver(sink: PodSink, source: str, old: Obj | None, new: Obj | None) -> None:
    """One change of the cache as calls on the sink.

    A pod made anew under its name is a removal and an arrival.
    """
    if old is not None and (new is None or _uid(old) != _uid(new)):
        if is_mirror(old):
            sink.remove_mirror(old)
        else:
            sink.remove_pod(source, _uid(old))
    if new is not None:
        if is_mirror(new):
            sink.set_mirror(new)
        else:
            sink.set_pod(source, new)


def is_mirror(pod: Obj) -> bool:
    """Whether the pod only shows a static pod of this node."""
    return CONFIG_MIRROR in (pod["metadata"].get("annotations") or {})


def _uid(pod: Obj) -> str:
    return str(pod["metadata"].get("uid", ""))
