"""The Node's loops against an API that refuses what the real one refuses."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.cri.model import ImageInfo, RuntimeInfo
from agent.node.registrar import Registrar
from agent.reporter import Reporter
from agent.settings import AgentSettings
from apimachinery import objects
from apimachinery.errors import AlreadyExists, Conflict, NotFound, Unreachable
from tests import clock
from tests.waiting import SECONDS

READY = RuntimeInfo("containerd", "1.6.20", True, True, "")


class Api:
    """Nodes and leases with resource versions; merge patches of the top two levels."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 0
        self.down = False
        self.statuses: list[str] = []
        self.changed = asyncio.Event()

    def _store(self, kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        obj = objects.copy(obj)
        obj["metadata"].setdefault("uid", f"uid-{self.version}")
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.stored[kind.kind, obj["metadata"]["name"]] = obj
        if kind.kind == "Node":
            self.statuses.append(next(c["status"] for c in obj["status"]["conditions"] if c["type"] == "Ready"))
        self.changed.set()
        return objects.copy(obj)

    def _check(self) -> None:
        if self.down:
            raise Unreachable("refused")

    async def get(self, kind: Any, name: str, namespace: str | None = None) -> dict[str, Any]:
        self._check()
        if (kind.kind, name) not in self.stored:
            raise NotFound(f'{kind.plural} "{name}" not found')
        return objects.copy(self.stored[kind.kind, name])

    async def create(self, kind: Any, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        self._check()
        if (kind.kind, obj["metadata"]["name"]) in self.stored:
            raise AlreadyExists("exists")
        return self._store(kind, obj)

    async def update(self, kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        held = await self.get(kind, obj["metadata"]["name"])
        if held["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict("modified")
        return self._store(kind, obj)

    async def patch(self, kind: Any, name: str, patch: dict[str, Any], **_: Any) -> dict[str, Any]:
        held = await self.get(kind, name)
        wanted = patch.get("metadata", {}).get("resourceVersion", held["metadata"]["resourceVersion"])
        if wanted != held["metadata"]["resourceVersion"]:
            raise Conflict("modified")
        for part, values in patch.items():
            for key, value in values.items():
                held[part][key] = {**held[part].get(key, {}), **value} if isinstance(value, dict) else value
        return self._store(kind, held)


class View:
    """A runtime whose state the test sets."""

    def __init__(self) -> None:
        self.state: RuntimeInfo | None = READY
        self.grace = False
        self.held: list[Any] = []

    def in_grace(self) -> bool:
        return self.grace

    async def info(self) -> RuntimeInfo:
        if self.state is None:
            raise ConnectionError("no runtime")
        return self.state

    async def images(self) -> list[Any]:
        if self.state is None:
            raise ConnectionError("no runtime")
        return self.held

    def healthy(self) -> str:
        return ""


class Events:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def event(self, obj: Any, type: str, reason: str, message: str) -> None:
        assert obj == {"kind": "Node", "name": "n", "uid": "n", "apiVersion": "v1"}
        self.reasons.append(reason)


class Rig:
    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.api, self.view, self.events = Api(), View(), Events()
        base = AgentSettings(node_name="n", node_ip="10.0.0.1", root_dir=tmp_path, **settings)
        api: Any = self.api
        view: Any = self.view
        self.registrar = Registrar(base, api, view, 10250, Reporter(self.events, "n"))

    async def until(self, check: Callable[[], object]) -> None:
        async def poll() -> None:
            while not check():
                self.api.changed.clear()
                await asyncio.wait_for(self.api.changed.wait(), SECONDS)

        await asyncio.wait_for(poll(), SECONDS)

    @property
    def node(self) -> dict[str, Any] | None:
        return self.api.stored.get(("Node", "n"))


def run(rig_of: Callable[[], Rig], scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        rig = rig_of()
        task = asyncio.ensure_future(rig.registrar.run())
        try:
            await scenario(rig)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    clock.run(main())


def test_a_new_node_is_registered_ready_with_its_lease(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.until(lambda: ("Lease", "n") in rig.api.stored)
        assert rig.api.statuses == ["True"]
        lease = rig.api.stored["Lease", "n"]
        assert rig.node is not None
        assert lease["metadata"]["ownerReferences"][0]["uid"] == rig.node["metadata"]["uid"]
        assert lease["spec"]["leaseDurationSeconds"] == 40

    run(lambda: Rig(tmp_path), scenario)


def test_an_unchanged_status_is_not_written_again(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.until(lambda: rig.node)
        await asyncio.sleep(0.3)
        # Free memory is no part of the status; the lease is the heartbeat.
        assert rig.api.statuses == ["True"]

    run(lambda: Rig(tmp_path, node_status_seconds=0.05), scenario)


def test_devices_that_flicker_do_not_have_the_node_looked_at_all_the_time(tmp_path: Path) -> None:
    looks: list[float] = []

    async def scenario(rig: Rig) -> None:
        def devices() -> dict[str, tuple[int, int]]:
            looks.append(asyncio.get_running_loop().time())
            return {}

        rig.registrar._devices = devices
        await rig.until(lambda: rig.node)
        await asyncio.sleep(2.0)
        rig.registrar.changed.set()
        await asyncio.sleep(0.1)
        assert len(looks) == 2, "the first is looked at at once"
        looks.clear()
        for _ in range(500):
            rig.registrar.changed.set()
            await asyncio.sleep(0.01)
        assert 4 <= len(looks) <= 8

    run(lambda: Rig(tmp_path, node_status_seconds=3600.0), scenario)


def test_the_node_is_ready_as_soon_as_its_network_is(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.view.state = replace(READY, network_ready=False, message="cni plugin not initialized")
        await rig.until(lambda: rig.node)
        assert rig.api.statuses == ["False"]
        rig.view.state = READY
        # The period is an hour: only the look at the runtime can end the wait.
        await rig.until(lambda: rig.api.statuses == ["False", "True"])
        assert rig.events.reasons[-1] == "NodeReady"

    run(lambda: Rig(tmp_path, node_status_seconds=3600.0), scenario)


def test_a_runtime_that_is_gone_makes_the_node_not_ready(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.until(lambda: rig.node)
        rig.view.state = None
        await rig.until(lambda: rig.api.statuses == ["True", "False"])
        assert rig.node is not None
        assert rig.node["status"]["conditions"][-1]["message"] == "container runtime is down"

    run(lambda: Rig(tmp_path, node_status_seconds=0.05), scenario)


def test_an_agent_that_has_not_heard_of_the_runtime_yet_lets_stand_what_was_said(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.view.held = [ImageInfo(("busybox:1",), 5)]
        await rig.until(lambda: rig.node)
        again = Rig(tmp_path, node_status_seconds=0.05, node_status_report_seconds=0.1)
        again.api.stored = rig.api.stored
        again.view.state, again.view.grace = None, True
        task = asyncio.ensure_future(again.registrar.run())
        written = len(again.api.statuses)
        await again.until(lambda: len(again.api.statuses) > written + 2)
        assert set(again.api.statuses) == {"True"}
        assert again.node is not None
        assert again.node["status"]["images"], "images that could not be listed are not gone"
        again.view.grace = False
        await again.until(lambda: again.api.statuses[-1] == "False")
        assert again.node["status"]["conditions"][-1]["message"] == "container runtime is down"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(lambda: Rig(tmp_path, node_status_seconds=3600.0), scenario)


def test_a_deleted_node_comes_back_and_a_known_one_keeps_what_others_wrote(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.until(lambda: rig.node)
        del rig.api.stored["Node", "n"]
        await rig.until(lambda: rig.node)
        assert rig.node is not None
        rig.node["metadata"]["labels"]["mine"] = "1"
        rig.node["spec"]["taints"] = [{"key": "k", "effect": "NoSchedule"}]
        again = Rig(tmp_path, register_labels={"topology.kubernetes.io/zone": "a"})
        again.api.stored = rig.api.stored
        task = asyncio.ensure_future(again.registrar.run())
        await again.until(
            lambda: again.node and again.node["metadata"]["labels"].get("topology.kubernetes.io/zone") == "a"
        )
        assert again.node is not None
        assert again.node["metadata"]["labels"]["mine"] == "1"
        assert again.node["spec"]["taints"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(lambda: Rig(tmp_path, node_status_seconds=0.05), scenario)


def test_an_api_server_that_is_away_is_tried_again(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.api.down = True
        await asyncio.sleep(0.25)
        assert rig.node is None
        rig.api.down = False
        await rig.until(lambda: rig.node)

    run(lambda: Rig(tmp_path), scenario)


def test_a_foreign_write_in_between_is_kept(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.until(lambda: rig.node)
        foreign = {"type": "NetworkUnavailable", "status": "False"}
        read = rig.api.get

        async def slow(kind: Any, name: str, namespace: str | None = None) -> dict[str, Any]:
            node = await read(kind, name, namespace)
            if kind.kind == "Node" and rig.view.state is None and foreign not in node["status"]["conditions"]:
                # Somebody writes between this read and the patch that follows it.
                changed = objects.copy(node)
                changed["status"]["conditions"].insert(0, foreign)
                rig.api._store(kind, changed)
            return node

        rig.api.get = slow  # type: ignore[method-assign]
        rig.view.state = None
        await rig.until(lambda: rig.api.statuses[-1] == "False")
        assert rig.node is not None
        assert foreign in rig.node["status"]["conditions"]

    run(lambda: Rig(tmp_path, node_status_seconds=0.05), scenario)
