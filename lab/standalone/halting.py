"""The end of a machine's pods when it is shut down, once its agent is stopped.

Left to systemd they hold the shutdown up: a container's first process takes no notice of a SIGTERM that it does not ask
for, and is killed only after a minute and a half.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from agent.cri import names
from agent.cri.client import CriClient
from agent.cri.errors import CriError
from lab.standalone.worker import RUNTIME

REQUEST_SECONDS = 20.0
GONE_SECONDS = 20.0
REST_SECONDS = 60.0
"""for all but the pods' grace: one answer that never comes is waited for, and the other pods' sandboxes still end"""
PAUSE = 0.2


async def end_pods(longest: int, socket: Path = RUNTIME) -> list[str]:
    """Every container is told to end and has its pod's grace for that, but `longest` seconds at most; then sandboxes
    end. Their networks are the agent's, when it starts again. What could not be ended is told, within `longest` and
    REST_SECONDS, however the runtime hangs: the unit's TimeoutStopSec follows from the two.
    """
    if not socket.exists():
        return []
    runtime, seconds = CriClient(socket, REQUEST_SECONDS), longest + REST_SECONDS
    try:
        return await asyncio.wait_for(_ended(runtime, longest), seconds)
    except asyncio.TimeoutError:
        return [f"the runtime has not ended all pods within {seconds:g} s"]
    except CriError as error:
        return [f"the runtime: {error}"]
    finally:
        await runtime.close()


async def _ended(runtime: CriClient, longest: int) -> list[str]:
    running = [each.id for each in await runtime.list_containers() if each.running]
    left = await _tried(_end(runtime, each, longest) for each in running)
    left += await _tried(runtime.containerd.kill(each) for each in await _sandboxes(runtime))
    # A shim goes with its last process, which containerd has to take leave of before it is stopped itself.
    deadline = time.monotonic() + GONE_SECONDS
    while still := await _sandboxes(runtime):
        if time.monotonic() > deadline:
            return [*left, *(f"sandbox {each} has not ended" for each in still)]
        await asyncio.sleep(PAUSE)
    return left


async def _end(runtime: CriClient, container: str, longest: int) -> None:
    found = await runtime.container(container)
    grace = found.annotations.get(names.POD_TERMINATION_GRACE_PERIOD, "")
    await runtime.stop_container(container, min(longest, int(grace)) if grace.isdecimal() else longest)


async def _sandboxes(runtime: CriClient) -> list[str]:
    return [each.id for each in await runtime.list_sandboxes() if each.ready]


async def _tried(calls: Iterable[Coroutine[Any, Any, None]]) -> list[str]:
    """All at once; what went wrong."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    for error in done:
        if error is not None and not isinstance(error, CriError):
            raise error
    return [str(error) for error in done if error is not None]
