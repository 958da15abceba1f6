"""The caches of referenced objects and of tokens, against an API that counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from agent.failures import ConfigError, VolumeError
from agent.objects import tokens as tokens_module
from agent.objects import watched as watched_module
from agent.objects.cache import Objects
from apimachinery import kinds, timestamps
from apimachinery.errors import Forbidden, NotFound, TooManyRequests, Unreachable
from apimachinery.volumes.claims import Use
from tests import clock
from tests.waiting import SECONDS

POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"serviceAccountName": "sa"}}


class Api:
    """Single objects by field selector, watched; tokens of a chosen life."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.queues: dict[tuple[str, str], asyncio.Queue[Any]] = {}
        self.lists: list[tuple[str, str]] = []
        self.watching = 0
        self.version = 1
        self.denied = False
        self.tokens = 0
        self.life = timedelta(hours=1)

    def put(self, kind: kinds.Kind, name: str, **fields: Any) -> None:
        self.version += 1
        meta = {"name": name, "namespace": "ns", "resourceVersion": str(self.version)}
        obj = {"kind": kind.kind, "metadata": meta, **fields}
        event = "MODIFIED" if (kind.kind, name) in self.objects else "ADDED"
        self.objects[kind.kind, name] = obj
        if (kind.kind, name) in self.queues:
            self.queues[kind.kind, name].put_nowait((event, obj))

    async def list(self, kind: kinds.Kind, namespace: str | None = None, **query: Any) -> dict[str, Any]:
        name = str(query.get("field_selector", "")).removeprefix("metadata.name=")
        self.lists.append((kind.kind, name))
        if self.denied:
            raise Forbidden("no")
        found = [obj for (k, n), obj in self.objects.items() if k == kind.kind and name in ("", n)]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": found}

    async def watch(self, kind: kinds.Kind, namespace: str | None = None, **query: Any) -> AsyncIterator[Any]:
        name = str(query.get("field_selector", "")).removeprefix("metadata.name=")
        queue = self.queues.setdefault((kind.kind, name), asyncio.Queue())
        self.watching += 1
        try:
            while True:
                yield await queue.get()
        finally:
            self.watching -= 1

    async def create(self, kind: kinds.Kind, obj: dict[str, Any], **_: Any) -> dict[str, Any]:
        if self.denied:
            raise Forbidden("no")
        self.tokens += 1
        expires = timestamps.format_time(timestamps.now() + self.life)
        return {"status": {"token": f"t{self.tokens}", "expirationTimestamp": expires}}


class Rig:
    def __init__(self) -> None:
        self.api = Api()
        client: Any = self.api
        self.objects = Objects(client, "n1")
        self.told: list[str] = []
        self.event = asyncio.Event()
        self.objects.on_change(self._hear)

    def _hear(self, uid: str) -> None:
        self.told.append(uid)
        self.event.set()

    async def heard(self) -> None:
        await asyncio.wait_for(self.event.wait(), SECONDS)
        self.event.clear()


def run(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        rig = Rig()
        task = asyncio.ensure_future(rig.objects.run())
        try:
            await scenario(rig)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    clock.run(main())


def listed(rig: Rig, name: str) -> int:
    return sum(1 for _, found in rig.api.lists if found == name)


def test_an_object_is_read_once_and_then_watched_for_its_users() -> None:
    async def scenario(rig: Rig) -> None:
        rig.api.put(kinds.CONFIG_MAP, "cm", data={"k": "1"})
        for _ in range(3):
            found = await rig.objects.config_maps(POD, ["cm"], VolumeError)
        assert found["cm"]["data"] == {"k": "1"}
        other = {"metadata": {**POD["metadata"], "uid": "v"}}
        await rig.objects.config_maps(other, ["cm"], VolumeError)
        assert listed(rig, "cm") == 1
        await asyncio.sleep(0.05)
        rig.api.put(kinds.CONFIG_MAP, "cm", data={"k": "2"})
        await rig.heard()
        assert sorted(rig.told) == ["u", "v"]
        assert (await rig.objects.config_maps(POD, ["cm"], VolumeError))["cm"]["data"] == {"k": "2"}
        before = rig.api.watching
        rig.objects.pod_gone("u")
        await asyncio.sleep(0.05)
        assert rig.api.watching == before
        rig.objects.pod_gone("v")
        await asyncio.sleep(0.05)
        assert rig.api.watching == before - 1

    run(scenario)


def test_an_object_that_appears_is_told_to_those_who_missed_it() -> None:
    async def scenario(rig: Rig) -> None:
        assert await rig.objects.secrets(POD, ["late"], ConfigError) == {}
        await asyncio.sleep(0.05)
        rig.api.put(kinds.SECRET, "late", data={})
        await rig.heard()
        assert list(await rig.objects.secrets(POD, ["late"], ConfigError)) == ["late"]

    run(scenario)


def test_an_immutable_object_is_not_watched() -> None:
    async def scenario(rig: Rig) -> None:
        rig.api.put(kinds.CONFIG_MAP, "cm", data={}, immutable=True)
        await asyncio.sleep(0.05)
        before = rig.api.watching
        for _ in range(2):
            assert list(await rig.objects.config_maps(POD, ["cm"], VolumeError)) == ["cm"]
        await asyncio.sleep(0.05)
        assert (rig.api.watching, listed(rig, "cm")) == (before, 1)

    run(scenario)


def test_an_object_that_cannot_be_read_in_time_is_an_error_and_not_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_module, "SYNC_SECONDS", 0.05)

    async def scenario(rig: Rig) -> None:
        rig.api.denied = True
        with pytest.raises(VolumeError, match="failed to sync configmap cache: timed out"):
            await rig.objects.config_maps(POD, ["cm"], VolumeError)

    run(scenario)


def test_a_token_is_asked_for_once_renewed_when_due_and_kept_when_the_server_refuses() -> None:
    async def scenario(rig: Rig) -> None:
        assert await rig.objects.token(POD, "", 3600) == "t1"
        assert await rig.objects.token(POD, "", 3600) == "t1"
        assert await rig.objects.token(POD, "other", 3600) == "t2"
        rig.objects.pod_gone("u")
        # Four fifths of a life this short are over at once.
        rig.api.life = timedelta(seconds=2)
        assert await rig.objects.token(POD, "", 3600) == "t3"
        await rig.heard()
        assert rig.told == ["u"]
        await asyncio.sleep(0.7)
        rig.api.life = timedelta(hours=1)
        assert await rig.objects.token(POD, "", 3600) == "t4"

    run(scenario)


def test_a_token_that_cannot_be_renewed_serves_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "LIFE_FRACTION", 0.0)

    async def scenario(rig: Rig) -> None:
        assert await rig.objects.token(POD, "", 3600) == "t1"
        rig.api.denied = True
        assert await rig.objects.token(POD, "", 3600) == "t1"
        rig.objects.pod_gone("u")
        with pytest.raises(VolumeError, match="failed to fetch token: no"):
            await rig.objects.token(POD, "", 3600)

    run(scenario)


def test_without_an_api_server_nothing_can_be_referred_to() -> None:
    async def scenario() -> None:
        alone = Objects(None, "n1")
        assert await alone.services_for(POD) == ()
        with pytest.raises(VolumeError, match="standalone"):
            await alone.token(POD, "", 3600)
        alone.pod_gone("u")

    clock.run(scenario())


@pytest.mark.parametrize(
    ("error", "settling"),
    [(Forbidden("no"), True), (NotFound("no"), True), (TooManyRequests("no"), False), (Unreachable("no"), False)],
)
def test_what_the_authorizer_does_not_know_yet_is_told_apart(error: Exception, settling: bool) -> None:
    """What a pod that was bound a moment ago needs is asked for once more before anybody hears of it."""

    class Refusing(Api):
        async def create(self, kind: kinds.Kind, obj: dict[str, Any], **_: Any) -> dict[str, Any]:
            raise error

        async def get(self, kind: kinds.Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
            raise error

    async def main() -> None:
        api: Any = Refusing()
        objects = Objects(api, "n1")
        with pytest.raises(VolumeError) as token:
            await objects.token(POD, "", 600)
        with pytest.raises(VolumeError) as claim:
            await objects.claims.volume(POD, Use("v", "c"))
        assert (token.value.settling, claim.value.settling) == (settling, settling)

    asyncio.run(main())
