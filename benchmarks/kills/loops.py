"""The loops: kills in the middle of start and stop until nothing is left, and kills beside pods that run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from apimachinery.client import Client
from apimachinery.errors import NotFound
from apimachinery.kinds import NODE, POD
from apimachinery.objects import Obj, condition_holds, name
from benchmarks.kills.inventory import Place, Thing, inventory
from lab.images.catalog import BUSYBOX
from lab.process import Process
from lab.supervisor_client import Supervision

NAMESPACE = "default"
READY_SECONDS, GONE_SECONDS = 90.0, 90.0
# What nobody wants is looked for every half a minute, and some of it only when it was seen twice.
CLEAN_SECONDS = 100.0
# A look at everything is some ten milliseconds of processor.
LOOK_SECONDS = 1.0
VICTIMS = (("agent",), ("containerd",), ("agent", "containerd"))
_SCRIPT = "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"


@dataclass
class Outcome:
    """What a loop saw. `left`: what was still there at the end, by kind; `restarts`: containers that said they had
    been restarted, as "pod/container: count, how the run before ended"; `flaps`: conditions that changed, as
    "object: type status"."""

    kills: Counter[str] = field(default_factory=Counter)
    left: set[Thing] = field(default_factory=set)
    restarts: list[str] = field(default_factory=list)
    flaps: list[str] = field(default_factory=list)
    slowest_ready: float = 0.0
    slowest_gone: float = 0.0
    clean_after: float = 0.0


def pod(title: str, node: str, *, probed: bool = False) -> Obj:
    """A pod of two containers with a directory in memory, that ends at once when it is told to."""
    container: Obj = {"image": BUSYBOX, "command": ["sh", "-c", _SCRIPT]}
    main = {"name": "main", **container, "volumeMounts": [{"name": "memory", "mountPath": "/memory"}]}
    if probed:
        main["readinessProbe"] = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    spec: Obj = {
        "containers": [main, {"name": "beside", **container}],
        "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
        "terminationGracePeriodSeconds": 2,
        "nodeName": node,
    }
    meta = {"name": title, "namespace": NAMESPACE, "labels": {"bench": "kills"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


class Killer:
    """Ends a node's daemons by SIGKILL and has them started again at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._supervision = Supervision(place.paths)

    async def kill(self, parts: tuple[str, ...]) -> None:
        """Kill the parts (`agent`, `containerd`) in one moment."""
        wanted = {f"{self._place.node}/{part}" for part in parts}
        found = [r for r in await self._supervision.reports() if r.process.name in wanted and r.pid]
        for report in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(report.pid, signal.SIGKILL)
        for report in found:
            await self._again(report.process)

    async def silence(self, part: str, seconds: float) -> None:
        """Stop a part for a while: it answers nobody, and nothing says that it is gone."""
        wanted = f"{self._place.node}/{part}"
        pid = await self._supervision.pid(wanted)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _again(self, process: Process) -> None:
        """A supervisor pauses before a process that ends often; this is no fault of the process."""
        await self._supervision.stop(process.name)
        await self._supervision.start(process)


class Watcher:
    """The pods of this program as a watching client sees them, and every change of a condition."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self.pods: dict[str, Obj] = {}
        self.changes: list[str] = []
        self._conditions: dict[str, dict[str, str]] = {}

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self._follow(POD)), asyncio.ensure_future(self._follow(NODE))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, kind: Any) -> None:
        labels, fields = ("bench=kills", "") if kind is POD else ("", f"metadata.name={self._node}")
        space = NAMESPACE if kind is POD else None
        listed = await self._client.list(kind, space, label_selector=labels, field_selector=fields)
        for obj in listed["items"]:
            self._seen(kind, obj)
        version = listed["metadata"]["resourceVersion"]
        while True:
            events = self._client.watch(
                kind, space, resource_version=version, label_selector=labels, field_selector=fields
            )
            async for event, obj in events:
                version = obj["metadata"]["resourceVersion"]
                if event == "DELETED":
                    self.pods.pop(name(obj), None)
                    self._conditions.pop(name(obj), None)
                elif event != "BOOKMARK":
                    self._seen(kind, obj)

    def _seen(self, kind: Any, obj: Obj) -> None:
        if kind is POD:
            self.pods[name(obj)] = obj
        now = {c["type"]: c["status"] for c in (obj.get("status") or {}).get("conditions") or ()}
        before = self._conditions.get(name(obj), {})
        self.changes += [f"{name(obj)}: {k} {v}" for k, v in now.items() if before.get(k, v) != v]
        self._conditions[name(obj)] = now

    async def until(self, check: Callable[[], bool], seconds: float, what: str) -> float:
        """Seconds it took; TimeoutError that says what did not come."""
        begun = time.monotonic()
        while not check():
            if time.monotonic() - begun > seconds:
                states = {title: (p.get("status") or {}).get("containerStatuses") for title, p in self.pods.items()}
                raise TimeoutError(f"not within {seconds:g} s: {what}; {states}")
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    def ready(self, titles: list[str]) -> bool:
        return all(title in self.pods and condition_holds(self.pods[title], "Ready") for title in titles)

    def restarts(self) -> list[str]:
        statuses = [
            (title, status)
            for title, p in self.pods.items()
            for status in (p.get("status") or {}).get("containerStatuses") or ()
        ]
        return [
            f"{title}/{status['name']}: {status['restartCount']}, before: {status['lastState']}"
            for title, status in statuses
            if status["restartCount"]
        ]


async def in_the_middle(
    client: Client, place: Place, kills: int, seed: int, show: Callable[[str], None], pods: int = 3
) -> Outcome:
    """`kills` kills, in turn in the middle of starting `pods` pods and of deleting them; then what is left."""
    chance, outcome = random.Random(seed), Outcome()
    killer, watcher = Killer(place), Watcher(client, place.node)
    async with watcher.following():
        await _start_and_stop(client, watcher, ["kills-warm"], place.node)
        before = await _quiet(place, set())
        for wave in range((kills + 1) // 2):
            titles = [f"kills-{wave}-{number}" for number in range(pods)]
            await _create(client, titles, place.node)
            await _strike(killer, chance, outcome)
            took = await watcher.until(lambda: watcher.ready(titles), READY_SECONDS, f"{titles} Ready")  # noqa: B023
            outcome.slowest_ready = max(outcome.slowest_ready, took)
            outcome.restarts += watcher.restarts()
            await _delete(client, titles)
            await _strike(killer, chance, outcome)
            took = await watcher.until(lambda: not watcher.pods, GONE_SECONDS, f"{titles} gone")
            outcome.slowest_gone = max(outcome.slowest_gone, took)
            if wave % 10 == 9:
                show(f"  {sum(outcome.kills.values())} kills, {len(await inventory(place) - before)} things to clear")
        begun = time.monotonic()
        outcome.left = await _quiet(place, before) - before
        outcome.clean_after = time.monotonic() - begun
    return outcome


async def beside(
    client: Client, place: Place, kills: int, seed: int, part: str = "containerd", pods: int = 5, silent: float = 20.0
) -> Outcome:
    """`kills` kills of one part while probed pods run, after it was silent for `silent` seconds: whatever condition
    changes is a flap. Twenty seconds are longer than the node's status is left alone, and shorter than upstream waits.
    """
    chance, outcome = random.Random(seed), Outcome()
    killer, watcher = Killer(place), Watcher(client, place.node)
    titles = [f"kills-steady-{number}" for number in range(pods)]
    async with watcher.following():
        for title in titles:
            await client.create(POD, pod(title, place.node, probed=True), NAMESPACE)
        await watcher.until(lambda: watcher.ready(titles), READY_SECONDS, "steady pods Ready")
        watcher.changes.clear()
        await killer.silence(part, silent)
        for _ in range(kills):
            await killer.kill((part,))
            outcome.kills[part] += 1
            await asyncio.sleep(chance.uniform(0.2, 3.0))
        await asyncio.sleep(5.0)
        outcome.flaps, outcome.restarts = list(watcher.changes), watcher.restarts()
        await _delete(client, titles)
        await watcher.until(lambda: not watcher.pods, GONE_SECONDS, "steady pods gone")
    return outcome


async def _strike(killer: Killer, chance: random.Random, outcome: Outcome) -> None:
    await asyncio.sleep(chance.uniform(0.0, 0.6))
    parts = chance.choice(VICTIMS)
    await killer.kill(parts)
    outcome.kills["+".join(parts)] += 1


async def _create(client: Client, titles: list[str], node: str) -> None:
    await asyncio.gather(*(client.create(POD, pod(title, node), NAMESPACE) for title in titles))


async def _delete(client: Client, titles: list[str]) -> None:
    async def one(title: str) -> None:
        with contextlib.suppress(NotFound):
            await client.delete(POD, title, NAMESPACE)

    await asyncio.gather(*(one(title) for title in titles))


async def _start_and_stop(client: Client, watcher: Watcher, titles: list[str], node: str) -> None:
    await _create(client, titles, node)
    await watcher.until(lambda: watcher.ready(titles), READY_SECONDS, "a first pod Ready")
    await _delete(client, titles)
    await watcher.until(lambda: not watcher.pods, GONE_SECONDS, "a first pod gone")


async def _quiet(place: Place, before: set[Thing]) -> set[Thing]:
    """The inventory once it is no more than `before`, or after CLEAN_SECONDS; without `before`, once it rests."""
    deadline = time.monotonic() + (CLEAN_SECONDS if before else 3.0)
    while True:
        found = await inventory(place)
        if (before and found <= before) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(LOOK_SECONDS)
