"""What the control loops do a second, through the API; beside the same writes by a client that decides nothing.

API server, controllers and client live in one private network namespace, and no pod is ever started: what is measured
is noticing, deciding and writing. Processor time is the controllers' own, for each pod.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from apimachinery.client import Client, PatchType
from apimachinery.informer import Informer
from apimachinery.kinds import DEPLOYMENT, ENDPOINT_SLICE, JOB, POD, REPLICA_SET, SERVICE, SERVICE_ACCOUNT
from apimachinery.objects import Obj, is_deleting, labels, name
from benchmarks import figures
from benchmarks.plane import Daemons, daemons
from benchmarks.vips import new_world, run_inside
from controlplane.controllers.pod_control import ABREAST

Show = Callable[[str], None]
SPACE, NAME = "default", "controllers"
DEADLINE = 300.0
CONTAINER = {"name": "c", "image": "none", "ports": [{"containerPort": 80}]}


def measure(pods: int, rounds: int, show: Show) -> None:
    """Print the figures. Needs root; leaves nothing behind."""
    with new_world() as world, daemons(world.node) as processes:
        bench = _Bench(processes, pods, rounds, show)
        run_inside(world.node, bench.run)


def _template(own: Obj) -> Obj:
    return {"metadata": {"labels": own}, "spec": {"containers": [CONTAINER], "restartPolicy": "Always"}}


class _Bench:
    def __init__(self, processes: Daemons, pods: int, rounds: int, show: Show) -> None:
        self._processes, self._count, self._rounds, self._show = processes, pods, rounds, show
        self._client: Client
        self._pods: Informer
        self._slices: Informer
        self._numbers = itertools.count()

    async def run(self) -> None:
        self._processes.start_api()
        await self._processes.until_serving()
        self._client = Client.from_kubeconfig(self._processes.kubeconfig, "bench")
        self._pods, self._slices = (Informer(self._client, kind, SPACE) for kind in (POD, ENDPOINT_SLICE))
        watching = [asyncio.ensure_future(informer.run()) for informer in (self._pods, self._slices)]
        try:
            await self._client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, SPACE)
            floors = await self._by_hand()
            await self._begin()
            self._show(f"{f'{self._count} pods':<40}{'a second':>9}{'floor':>9}{'share':>8}{'CPU ms/pod':>12}")
            for label, floor, work in (
                ("a Deployment's pods created", floors["create"], self._rolled_out),
                ("they are ready: all in EndpointSlices", floors["ready"], self._published),
                ("scaled to nothing", floors["delete"], self._scaled_down),
                ("a Job's pods created", floors["create"], self._worked_off),
            ):
                before = self._processes.processor_seconds(NAME)
                rate = self._count / await _timed(work())
                cpu = (self._processes.processor_seconds(NAME) - before) / self._count * 1e3
                self._show(f"{label:<40}{rate:9.0f}{floor:9.0f}{rate / floor:8.0%}{cpu:12.2f}")
            await self._lag()
            self._show(f"controllers: {self._processes.resident_mb(NAME):.0f} MB")
        finally:
            for task in watching:
                task.cancel()
            await self._client.close()

    async def _begin(self) -> None:
        """Start the controllers and wait until they do something."""
        settings = {
            "kubeconfig": str(self._processes.kubeconfig),
            "health_port": 0,
            "election": {"leader_elect": False},
            "service_account_key_file": str(self._processes.folder / "sa.key"),
        }
        self._processes.start(NAME, "controlplane.controllers", settings)
        await self._one_set("first")

    async def _by_hand(self) -> dict[str, float]:
        """The same writes a second, as many at once as the loops make."""
        names = [f"floor-{number}" for number in range(self._count)]
        made = await _timed(self._abreast(names, lambda each: self._pod(each, {"app": "floor"})))
        ready = await _timed(self._abreast(names, self._ready))
        gone = await _timed(self._abreast(names, lambda each: self._client.delete(POD, each, SPACE)))
        await self._until(lambda: not self._there("floor"))
        rates = {"create": made, "ready": ready, "delete": gone}
        return {what: self._count / seconds for what, seconds in rates.items()}

    async def _rolled_out(self) -> None:
        ports = [{"port": 80}]
        await self._client.create(
            SERVICE, {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}, SPACE
        )
        own = {"app": "web"}
        spec = {"replicas": self._count, "selector": {"matchLabels": own}, "template": _template(own)}
        await self._client.create(DEPLOYMENT, {"metadata": {"name": "web"}, "spec": spec}, SPACE)
        await self._until(lambda: len(self._there("web")) == self._count)

    async def _published(self) -> None:
        await self._abreast([name(pod) for pod in self._there("web")], self._ready)
        await self._until(lambda: self._ready_endpoints() == self._count)

    async def _scaled_down(self) -> None:
        await self._client.patch(DEPLOYMENT, "web", {"spec": {"replicas": 0}}, SPACE)
        await self._until(lambda: not self._there("web"))

    async def _worked_off(self) -> None:
        template = _template({"app": "job"})
        template["spec"]["restartPolicy"] = "Never"
        spec = {"parallelism": self._count, "completions": self._count, "template": template}
        await self._client.create(JOB, {"metadata": {"name": "job"}, "spec": spec}, SPACE)
        await self._until(lambda: len(self._there("job")) == self._count)

    async def _lag(self) -> None:
        """From the request to the pod that a watching client sees, one by one, beside all that is there."""
        self._show(figures.head("ms"))
        loop = [await _timed(self._one_set(f"one-{number}")) for number in range(self._rounds)]
        hand = [await _timed(self._one_pod(f"pod-{number}")) for number in range(self._rounds)]
        self._show(figures.row("a ReplicaSet created: its pod is seen", loop, scale=1e3))
        self._show(figures.row("floor: a pod created, and seen", hand, scale=1e3))

    async def _one_set(self, app: str) -> None:
        own = {"app": app}
        spec = {"replicas": 1, "selector": {"matchLabels": own}, "template": _template(own)}
        await self._client.create(REPLICA_SET, {"metadata": {"name": app}, "spec": spec}, SPACE)
        await self._until(lambda: bool(self._there(app)))

    async def _one_pod(self, app: str) -> None:
        await self._pod(app, {"app": app})
        await self._until(lambda: bool(self._there(app)))

    async def _pod(self, pod: str, own: Obj) -> None:
        await self._client.create(POD, {**_template(own), "metadata": {"name": pod, "labels": own}}, SPACE)

    async def _ready(self, pod: str) -> None:
        number = next(self._numbers)
        address = f"10.244.{number // 250}.{number % 250 + 1}"
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
        where: dict[str, Any] = {"subresource": "status", "patch_type": PatchType.STRATEGIC}
        await self._client.patch(POD, pod, {"status": status}, SPACE, **where)

    def _there(self, app: str) -> list[Obj]:
        return [pod for pod in self._pods.items() if labels(pod).get("app") == app and not is_deleting(pod)]

    def _ready_endpoints(self) -> int:
        found = [each for piece in self._slices.items() for each in piece.get("endpoints") or ()]
        return sum((each.get("conditions") or {}).get("ready") is True for each in found)

    async def _abreast(self, items: Iterable[str], work: Callable[[str], Awaitable[object]]) -> None:
        left = iter(items)

        async def worker() -> None:
            for item in left:
                await work(item)

        await asyncio.gather(*(worker() for _ in range(ABREAST)))

    async def _until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not what():
            self._processes.check()
            if time.monotonic() > deadline:
                print(self._processes.log(NAME)[-3000:], file=sys.stderr)
                raise RuntimeError(f"the controllers were not done in {DEADLINE:.0f} s")
            await asyncio.sleep(0.002)


async def _timed(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun
