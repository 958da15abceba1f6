"""A definition is created, and its objects are as good as any: on one server, over HTTPS."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.kinds import CUSTOM_RESOURCE_DEFINITION as DEFINITION
from apimachinery.objects import Obj, condition_holds, name
from controlplane.apiserver.custom import definitions, rows
from tests.controlplane.apiserver.custom.definitions import GROUP, NAME, V1, V2, boat, definition, of_type, version
from tests.controlplane.apiserver.server import run, serving
from tests.waiting import until

_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


async def established(client: Client, given: Obj) -> Obj:
    """Create a definition, and wait until it is served."""
    made = await client.create(DEFINITION, given)
    async for _, seen in client.watch(DEFINITION, field_selector=f"metadata.name={name(made)}", resource_version="0"):
        if condition_holds(seen, "Established"):
            return seen
    raise AssertionError("the watch ended")


async def gone(client: Client, what: str = NAME) -> bool:
    return what not in map(name, (await client.list(DEFINITION))["items"])


def test_objects_are_pruned_filled_in_selected_shown_and_scaled(tmp_path: Path) -> None:
    columns: list[Obj] = [{"name": "Sail", "type": "string", "jsonPath": ".spec.sail"}]
    columns += [{"name": "Crew", "type": "integer", "jsonPath": ".spec.crew", "priority": 1}]
    given = version(additionalPrinterColumns=columns, selectableFields=[{"jsonPath": ".spec.sail"}])

    async def test(client: Client) -> None:
        await established(client, definition(given))
        made = await client.create(V1, {**boat("a", keel=1), "status": {"afloat": True}})
        assert made["spec"] == {"sail": "gaff", "crew": 3} and "status" not in made
        assert made["metadata"]["generation"] == 1
        with pytest.raises(errors.BadRequest, match='unknown field "spec.keel"'):
            await client.request(
                "POST", V1.path("default"), body=boat("b", keel=1), query={"fieldValidation": "Strict"}
            )
        with pytest.raises(errors.Invalid, match="spec.crew in body must be of type integer"):
            await client.create(V1, boat("b", crew="many"))
        await client.create(V1, boat("b", sail="lug"))
        found = (await client.list(V1, "default", field_selector="spec.sail=lug"))["items"]
        assert [(name(obj), obj["apiVersion"], obj["kind"]) for obj in found] == [("b", f"{GROUP}/v1", "Boat")]
        with pytest.raises(errors.BadRequest, match="field label not supported: spec.crew"):
            await client.list(V1, "default", field_selector="spec.crew=3")
        table = await client.request("GET", V1.path("default"), headers=_TABLE)
        assert [row["cells"] for row in table["rows"]] == [["a", "gaff", 3], ["b", "lug", 3]]
        assert [column["priority"] for column in table["columnDefinitions"]] == [0, 0, 1]
        new = await client.patch(V1, "a", {"status": {"afloat": True}, "spec": {}}, "default", subresource="status")
        assert new["status"] == {"afloat": True} and new["metadata"]["generation"] == 1
        with pytest.raises(errors.BadRequest, match='the spec replicas field ".spec.replicas" cannot be empty'):
            await client.patch(V1, "a", {}, "default", subresource="scale")
        scale = await client.patch(V1, "a", {"spec": {"replicas": 5}}, "default", subresource="scale")
        assert scale["spec"] == {"replicas": 5}
        assert (await client.get(V1, "a", "default"))["spec"]["replicas"] == 5
        told = r"json-patch\+json, application/merge-patch\+json, app"
        with pytest.raises(errors.UnsupportedMediaType, match=told) as refusal:
            await client.patch(V1, "a", {}, "default", patch_type=PatchType.STRATEGIC)
        assert "details" not in refusal.value.status()
        listed = (await client.request("GET", f"/apis/{GROUP}/v1"))["resources"]
        assert [one["name"] for one in listed] == ["boats", "boats/scale", "boats/status"]
        assert listed[0]["shortNames"] == ["bt"] and listed[0]["categories"] == ["all"]

    run(tmp_path, test)


def test_each_version_shows_and_takes_the_same_objects_and_the_stored_one_may_change(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        wide = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        newer = version("v2", storage=False, schema=wide)
        made = await established(client, definition(version(), newer))
        await client.create(V1, boat("a"))
        await client.create(V2, boat("b", "v2", keel="long"))
        assert "keel" not in (await client.get(V2, "b", "default"))["spec"], "it is stored by the schema of v1"
        assert {obj["apiVersion"] for obj in (await client.list(V2, "default"))["items"]} == {f"{GROUP}/v2"}
        async for _, seen in client.watch(V2, "default", resource_version="0"):
            assert (seen["apiVersion"], name(seen)) == (f"{GROUP}/v2", "a")
            break
        stored, other = made["spec"]["versions"]
        stored["storage"], other["storage"] = False, True
        changed = await client.update(DEFINITION, made)
        assert changed["status"]["storedVersions"] == ["v1", "v2"]
        await client.create(V2, boat("c", "v2", keel="long"))
        assert (await client.get(V2, "c", "default"))["spec"]["keel"] == "long"
        shown = (await client.list(V1, "default"))["items"]
        assert [obj["apiVersion"] for obj in shown] == [f"{GROUP}/v1"] * 3
        assert "keel" not in shown[2]["spec"]

    run(tmp_path, test)


def test_a_large_definition_is_made_beside_the_loop_and_served_when_it_says_so(tmp_path: Path) -> None:
    many = of_type({f"field{number}": {"type": "string", "description": "x" * 60} for number in range(2000)})
    large = version(schema={"openAPIV3Schema": of_type({"spec": many})}, subresources={})

    async def main() -> None:
        async with serving(tmp_path) as client:
            made = await established(client, definition(large))
            assert (await client.create(V1, boat("a", field1="b")))["spec"] == {"field1": "b"}
            kept = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            kept["field1"]["default"], kept["field2"]["default"] = "c", "d"
            await client.update(DEFINITION, made)

            async def filled() -> bool:
                return bool((await client.get(V1, "a", "default"))["spec"] == {"field1": "b", "field2": "d"})

            await until(filled)
        async with serving(tmp_path) as client:
            assert await filled_in(client)

    async def filled_in(client: Client) -> bool:
        return bool((await client.get(V1, "a", "default"))["spec"].get("field2") == "d")

    asyncio.run(main())


def test_what_is_written_while_a_large_definition_is_made_is_shown_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(given: Obj) -> rows.Parts:
        begun.set()
        assert go_on.wait(30)
        return rows.parts(given)

    fields = {f"field{number}": {"type": "string", "description": "x" * 400} for number in range(100)}
    large = version(schema={"openAPIV3Schema": of_type({"spec": of_type(fields)})}, subresources={})

    async def test(client: Client) -> None:
        made = await established(client, definition(large))
        monkeypatch.setattr(definitions, "prepared", slowly)
        kept = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        kept["field1"]["default"] = "d"
        changing = asyncio.ensure_future(client.update(DEFINITION, made))
        await until(begun.is_set)
        assert (await client.create(V1, boat("a")))["spec"] == {}
        go_on.set()
        await changing

        async def filled() -> bool:
            return bool((await client.get(V1, "a", "default"))["spec"] == {"field1": "d"})

        await until(filled)

    run(tmp_path, test)


def test_new_defaults_are_shown_of_what_is_there_and_watches_begin_anew(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await established(client, definition())
        await client.create(V1, boat("a"))
        seen: list[Obj] = []

        async def watch() -> None:
            async for _, obj in client.watch(V1, "default", resource_version="0"):
                seen.append(obj)

        watching = asyncio.ensure_future(watch())
        await until(lambda: seen)
        spec = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        spec["flag"] = {"type": "string", "default": "white"}
        await client.update(DEFINITION, made)
        await asyncio.wait_for(watching, 30)
        assert (await client.get(V1, "a", "default"))["spec"]["flag"] == "white"
        async for _, obj in client.watch(V1, "default", resource_version="0"):
            assert obj["spec"]["flag"] == "white"
            break
        # Two that are the same to Python.
        for index, default in enumerate((1, True)):
            spec["flag"] = {"x-kubernetes-preserve-unknown-fields": True, "default": default}
            stored = await client.get(DEFINITION, NAME)
            await client.update(DEFINITION, {**stored, "spec": made["spec"]})
            assert (await client.create(V1, boat(f"b{index}")))["spec"]["flag"] is default

    run(tmp_path, test)


def test_what_is_stored_is_served_from_the_start_and_goes_with_its_definition(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as client:
            await established(client, definition())
            held = boat("held")
            held["metadata"]["finalizers"] = ["example.com/wait"]
            for each in (boat("a"), held):
                await client.create(V1, each)
        async with serving(tmp_path) as client:
            assert len((await client.list(V1, "default"))["items"]) == 2
            ended = await client.request("DELETE", DEFINITION.path(name=NAME))
            assert ended["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
            with pytest.raises(errors.Forbidden, match="create not allowed while custom resource definition is term"):
                await client.create(V1, boat("late"))

            async def left() -> bool:
                return [name(obj) for obj in (await client.list(V1, "default"))["items"]] == ["held"]

            await until(left)
            assert not await gone(client)
            await client.patch(V1, "held", {"metadata": {"finalizers": None}}, "default")
            await until(lambda: gone(client))
            with pytest.raises(errors.NotFound):
                await client.list(V1, "default")
            again = version(schema={"openAPIV3Schema": {"type": "object"}})
            await established(client, definition(again))
            assert not (await client.list(V1, "default"))["items"]
            assert (await client.create(V1, boat("a"))).get("spec") is None, "nothing is described now"

    asyncio.run(main())
