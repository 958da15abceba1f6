"""What sources deliver, and where: `pods.pods` takes it."""

from __future__ import annotations

from typing import Protocol

from apimachinery.objects import Obj


class PodSink(Protocol):
    """Where sources deliver. Calls are synchronous and cheap; they must be made on the event loop."""

    def set_pod(self, source: str, pod: Obj) -> None:
        """The pod is desired (new, changed, or with `deletionTimestamp` set: terminate it gracefully)."""

    def remove_pod(self, source: str, uid: str) -> None:
        """The pod is gone from its source: whatever still runs is stopped and cleaned."""

    def set_mirror(self, mirror: Obj) -> None:
        """A mirror pod (annotation `kubernetes.io/config.mirror`) seen in the API: never run, only
        tracked."""

    def remove_mirror(self, mirror: Obj) -> None:
        """A mirror pod left the API."""

    def synced(self, source: str) -> None:
        """The source has delivered everything it knows. Nothing unknown is cleaned before every source did."""


class PodSource(Protocol):
    """Produces desired pods: `api` or `file`. Static pods arrive complete: uid, node suffix in the name,
    `kubernetes.io/config.{source,hash,seen}` annotations, `spec.nodeName`."""

    name: str

    async def run(self, sink: PodSink) -> None:
        """Deliver until cancelled; reconnects by itself."""
