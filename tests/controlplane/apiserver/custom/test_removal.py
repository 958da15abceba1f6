"""The end of a definition: its objects go, also where who converts has gone before, and who came late with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from apimachinery.client import Client
from apimachinery.kinds import CUSTOM_RESOURCE_DEFINITION as DEFINITION
from apimachinery.kinds import MUTATING_WEBHOOK_CONFIGURATION
from apimachinery.objects import Obj, condition_holds, name
from tests.controlplane.apiserver.admission.backend import Backend, backend, hook, rule
from tests.controlplane.apiserver.custom.definitions import GROUP, NAME, V1, V2, boat, definition, version
from tests.controlplane.apiserver.custom.test_conversion import FAILED, RIGGED, play, rigged
from tests.controlplane.apiserver.custom.test_served import established, gone
from tests.controlplane.apiserver.server import DEADLINE, serving
from tests.waiting import until


def test_what_lies_there_as_it_is_stored_goes_without_who_converts(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as client, backend(tmp_path) as made:
            made.answer = lambda _: {"result": {"status": "Failure", "message": "gone"}}
            webhook = {"clientConfig": made.config(), "conversionReviewVersions": ["v1"]}
            versions = version(storage=False), version("v2", schema=RIGGED)
            await established(client, definition(*versions, conversion={"strategy": "Webhook", "webhook": webhook}))
            await client.create(V2, {**boat("a", "v2"), "spec": {"rig": "lug"}})
            await client.delete(DEFINITION, NAME)
            await until(lambda: gone(client))
            assert not made.asked

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_why_objects_cannot_go_is_told_until_they_can(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await client.create(V1, boat("a"))
        given = await client.get(DEFINITION, NAME)
        for one in given["spec"]["versions"]:
            one["storage"] = one["name"] == "v2"
        await client.update(DEFINITION, given)
        made.answer = lambda _: {"result": {"status": "Failure", "message": "no"}}
        await client.delete(DEFINITION, NAME)

        async def told() -> bool:
            conditions = (await client.get(DEFINITION, NAME))["status"]["conditions"]
            why = f"could not issue all deletes: {FAILED} failed: no"
            return ("InstanceDeletionFailed", why) in [(one["reason"], one["message"]) for one in conditions]

        await until(told)
        made.answer = rigged
        await until(lambda: gone(client))

    play(tmp_path, test)


def test_what_is_let_in_before_the_end_goes_with_the_others(tmp_path: Path) -> None:
    async def test(client: Client, asked: Backend) -> None:
        held = boat("held")
        held["metadata"]["finalizers"] = ["example.com/wait"]
        await client.create(V1, held)
        answered = asyncio.Event()

        async def later() -> Obj:
            await answered.wait()
            return {"allowed": True}

        asked.answer = lambda request: later()
        hooks = [hook(asked, timeoutSeconds=30, **rule("boats", group=GROUP))]
        await client.create(MUTATING_WEBHOOK_CONFIGURATION, {"metadata": {"name": "h"}, "webhooks": hooks})
        late = asyncio.ensure_future(client.create(V1, boat("late")))
        await until(lambda: asked.asked)
        await client.delete(DEFINITION, NAME)

        async def ends() -> bool:
            return condition_holds(await client.get(DEFINITION, NAME), "Terminating")

        async def alone() -> bool:
            return [name(obj) for obj in (await client.list(V1, "default"))["items"]] == ["held"]

        await until(ends)
        answered.set()
        await late
        await until(alone)
        await client.patch(V1, "held", {"metadata": {"finalizers": None}}, "default")
        await until(lambda: gone(client))

    async def main() -> None:
        (tmp_path / "asked").mkdir()
        async with serving(tmp_path) as client, backend(tmp_path / "asked") as asked:
            await established(client, definition())
            await test(client, asked)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
