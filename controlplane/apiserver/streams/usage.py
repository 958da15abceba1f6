"""What nodes and pods use: two readings of each agent's summary, and what was used between them.

As metrics-server does: every 15 seconds each node is asked, a new one once it is Ready and soon again. What one reading
alone says of is not told of, but for a container that started lately: its count began with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery import errors
from apimachinery.objects import Obj, loads
from apimachinery.timestamps import parse_time
from controlplane.apiserver.streams.backend import Agents

log = logging.getLogger(__name__)

PERIOD, SOON, DEADLINE = 15.0, 2.0, 10.0
# Of fewer seconds of a container's life nothing is told (metrics-server's freshContainerMinMetricsResolution).
YOUNGEST = 10.0
LARGEST = 64 << 20
_NANO = 1_000_000_000

Key = tuple[str, ...]
"""() for the node itself; (namespace, pod, container)."""


@dataclass(frozen=True)
class Reading:
    """At `moment` so much CPU had been used (nanoseconds), and so much memory was (bytes)."""

    moment: datetime
    cpu: int
    memory: int
    began: datetime | None = None
    """when the container was started, from which on its CPU is counted"""


@dataclass(frozen=True)
class Usage:
    """CPU in billionths of a core over `window` seconds before `moment`, memory in bytes."""

    moment: datetime
    window: float
    cpu: int
    memory: int


def readings(summary: Obj) -> dict[Key, Reading]:
    """What one summary says, but for what says too little. Pure."""
    found: dict[Key, Reading] = {}
    _read(found, (), summary.get("node") or {})
    for pod in summary.get("pods") or ():
        where = pod["podRef"]
        for container in pod.get("containers") or ():
            _read(found, (where["namespace"], where["name"], container["name"]), container)
    return found


def _read(found: dict[Key, Reading], key: Key, stats: Obj) -> None:
    cpu, memory = stats.get("cpu") or {}, stats.get("memory") or {}
    used, size, stamp = cpu.get("usageCoreNanoSeconds"), memory.get("workingSetBytes"), cpu.get("time")
    if used is not None and size is not None and stamp:
        began = stats.get("startTime") if key else None
        found[key] = Reading(parse_time(stamp), int(used), int(size), parse_time(began) if began else None)


def between(old: Reading | None, new: Reading) -> Usage | None:
    """What was used between two readings; where there is but one, or the count began anew, since a container's start.
    None where that tells nothing: it was just now, or before the last round. Pure.
    """
    if old is None or new.cpu < old.cpu:
        if new.began is None or not YOUNGEST <= (new.moment - new.began).total_seconds() < PERIOD:
            return None
        old = Reading(new.began, 0, 0)
    window = (new.moment - old.moment).total_seconds()
    if window <= 0:
        return None
    return Usage(new.moment, window, int((new.cpu - old.cpu) / window), new.memory)


@dataclass
class _Node:
    last: Mapping[Key, Reading] = field(default_factory=dict)
    usage: dict[Key, Usage] = field(default_factory=dict)


class Meter:
    """Asks the nodes' agents; holds what they said last."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._nodes: dict[str, _Node] = {}

    def usage(self, node: str) -> Mapping[Key, Usage]:
        """What is used on a node and in its pods' containers."""
        found = self._nodes.get(node)
        return found.usage if found is not None else {}

    async def ask(self, nodes: Iterable[str]) -> float:
        """One round. Seconds until the next: soon while a node has told but once."""
        wanted = list(nodes)
        for gone in self._nodes.keys() - set(wanted):
            del self._nodes[gone]
        await asyncio.gather(*map(self._ask, wanted))
        return SOON if any(n.last and () not in n.usage for n in self._nodes.values()) else PERIOD

    async def look(self, nodes: Iterable[str]) -> bool:
        """Ask some nodes out of turn; whether one of them has told but once, and is to be asked again soon."""
        wanted = list(nodes)
        await asyncio.gather(*map(self._ask, wanted))
        return any(node in self._nodes and () not in self._nodes[node].usage for node in wanted)

    async def _ask(self, node: str) -> None:
        try:
            told = readings(await asyncio.wait_for(self._summary(node), DEADLINE))
        except (errors.ApiError, asyncio.TimeoutError, ValueError, OSError) as error:
            log.info("usage of %s is not known: %s", node, error)
            self._nodes.pop(node, None)
            return
        state = self._nodes.setdefault(node, _Node())
        usage = {}
        for key, new in told.items():
            old = state.last.get(key)
            # The runtime may answer with the figures that it gave before.
            found = state.usage.get(key) if old is not None and old.moment == new.moment else between(old, new)
            if found is not None:
                usage[key] = found
        state.last, state.usage = told, usage

    async def _summary(self, node: str) -> Obj:
        answer = await self._agents.call(node, "GET", "/stats/summary", [("Connection", "close")])
        text = await answer.text(LARGEST)
        if answer.head.status != 200:
            raise errors.InternalError(f"the agent answered {answer.head.status}: {text[:200]}", reason="")
        found: Obj = loads(text)
        return found
