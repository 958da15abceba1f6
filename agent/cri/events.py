"""What happens in the runtime, as it happens.

CRI's own stream (containerd from 1.7, CRI-O) where it is served; else containerd's event service, which shares the
socket. A runtime with neither is only relisted. Events may be lost (a restart, a full buffer): they make the agent
fast, never right; `agent.cri.cache` relists.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from agent.cri.channel import Channel
from agent.cri.errors import CriError, CriUnimplemented
from agent.cri.messages import pb
from agent.cri.model import RuntimeEvent
from agent.cri.wire import Envelope, WireError, subscribe_request

log = logging.getLogger(__name__)

_CRI_EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents"
_CONTAINERD_EVENTS = "/containerd.services.events.v1.Events/Subscribe"
# One regular expression per filter, filters are joined by "or"; only CRI's own containerd namespace.
_TOPICS = r'namespace==k8s.io,topic~="^/tasks/(start|exit|oom)$|^/containers/delete$"'
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


async def _from_cri(channel: Channel) -> AsyncIterator[RuntimeEvent]:
    async for item in channel.stream(_CRI_EVENTS, b"", pb.ContainerEventResponse.FromString):
        kind = item.container_event_type
        yield RuntimeEvent(
            id=item.container_id,
            gone=kind == pb.ContainerEventType.CONTAINER_DELETED_EVENT,
            exited=kind == pb.ContainerEventType.CONTAINER_STOPPED_EVENT,
        )


async def _from_containerd(channel: Channel) -> AsyncIterator[RuntimeEvent]:
    request = subscribe_request((_TOPICS,))
    async for item in channel.stream(_CONTAINERD_EVENTS, request, Envelope.decode):
        # An exec session's end carries the exec's own id beside the container's.
        if not item.container_id or (item.exec_id and item.exec_id != item.container_id):
            continue
        yield RuntimeEvent(
            id=item.container_id,
            gone=item.topic == "/containers/delete",
            exited=item.topic == "/tasks/exit",
        )


async def follow(
    channel: Channel,
    on_event: Callable[[RuntimeEvent], None],
    on_state: Callable[[bool], None],
) -> None:
    """Deliver events until cancelled. `on_state(True)` when a stream is up (relist after it, events before it are
    lost), `on_state(False)` when it broke or the runtime serves none.
    """
    sources = [_from_cri, _from_containerd]
    failures = 0
    while sources:
        source = sources[0]
        try:
            stream = source(channel)
            # The stream is silent until something happens; taking the first event in the background lets a
            # refusal be told from silence.
            first = asyncio.ensure_future(stream.__anext__())
            try:
                done, _ = await asyncio.wait({first}, timeout=0.3)
                if not done or first.exception() is None:
                    on_state(True)
                on_event(await first)
            finally:
                first.cancel()
            failures = 0
            async for event in stream:
                on_event(event)
        except CriUnimplemented:
            sources.pop(0)
            continue
        except (CriError, WireError) as error:
            log.info("runtime event stream broke: %s", error)
        except StopAsyncIteration:
            log.info("runtime event stream ended")
        on_state(False)
        await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
        failures += 1
    log.warning("the runtime serves no event stream; relisting instead")
    on_state(False)
