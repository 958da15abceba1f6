"""Conversion by a webhook, asked over real HTTPS: what is stored in one version is written and read in another."""

from __future__ import annotations

import asyncio
import base64
import gc
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.kinds import CUSTOM_RESOURCE_DEFINITION as DEFINITION
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, name
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.registry.converting import Conversions
from tests.controlplane.apiserver.admission.backend import Backend, backend
from tests.controlplane.apiserver.custom.definitions import GROUP, V1, V2, boat, definition, of_type, version
from tests.controlplane.apiserver.custom.test_served import established
from tests.controlplane.apiserver.server import DEADLINE, serving

# Version 2 calls the sail a rig.
_BY_SAIL: dict[str, Any]
_BY_RIG: dict[str, Any]
_BY_SAIL, _BY_RIG = ({"selectableFields": [{"jsonPath": f".spec.{one}"}]} for one in ("sail", "rig"))
RIGGED = {"openAPIV3Schema": of_type({"spec": of_type({"rig": {"type": "string"}})})}
FAILED = f"conversion webhook for {GROUP}/v1, Kind=Boat"


def rigged(request: Obj) -> Obj:
    """The response of a webhook that knows both."""
    wanted, made = request["desiredAPIVersion"], []
    for obj in request["objects"]:
        spec = dict(obj.get("spec") or {})
        old, new = ("rig", "sail") if wanted.endswith("v1") else ("sail", "rig")
        if old in spec:
            spec[new] = spec.pop(old)
        made.append({**obj, "apiVersion": wanted, **({"spec": spec} if "spec" in obj else {})})
    return {"result": {"status": "Success"}, "convertedObjects": made}


def play(folder: Path, test: Callable[[Client, Backend], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(folder) as client, backend(folder) as made:
            made.answer = rigged
            webhook = {"clientConfig": made.config(), "conversionReviewVersions": ["v1"]}
            conversion = {"strategy": "Webhook", "webhook": webhook}
            newer = version("v2", storage=False, schema=RIGGED, **_BY_RIG)
            await established(client, definition(version(**_BY_SAIL), newer, conversion=conversion))
            await test(client, made)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_objects_are_converted_on_every_way(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await client.create(V1, boat("a"))
        assert not made.asked, "nobody spoke of another version"
        second = boat("b", "v2", rig="lug")
        del second["spec"]["sail"]
        assert (await client.create(V2, second))["spec"] == {"rig": "lug"}
        assert (await client.get(V1, "b", "default"))["spec"]["sail"] == "lug"
        del made.asked[:]
        listed = (await client.list(V2, "default"))["items"]
        assert [(obj["apiVersion"], obj["spec"]["rig"]) for obj in listed] == [
            (f"{GROUP}/v2", "gaff"),
            (f"{GROUP}/v2", "lug"),
        ]
        assert [len(asked["objects"]) for asked in made.asked] == [2], "a list is converted at once"
        assert made.paths[-1] == "/hook"
        seen = []
        async for kind, obj in client.watch(V2, "default", resource_version="0"):
            if kind == "BOOKMARK":
                continue
            seen.append((kind, name(obj), obj["spec"]["rig"]))
            if len(seen) == 2:
                await client.patch(V2, "a", {"spec": {"rig": "square"}}, "default")
            if len(seen) == 3:
                break
        assert seen == [("ADDED", "a", "gaff"), ("ADDED", "b", "lug"), ("MODIFIED", "a", "square")]
        assert (await client.get(V1, "a", "default"))["spec"]["sail"] == "square"
        await client.delete(V2, "a", "default")
        with pytest.raises(errors.NotFound):
            await client.get(V1, "a", "default")

    play(tmp_path, test)


def test_owners_are_kept_in_the_versions_that_they_spoke(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        async def applied(kind: Kind, manager: str, **spec: str) -> Obj:
            body = {**boat("a", kind.version), "spec": spec}
            return await client.patch(kind, "a", body, "default", patch_type=PatchType.APPLY, field_manager=manager)

        await applied(V1, "one", sail="gaff")
        await client.patch(V2, "a", {"metadata": {"labels": {"x": "y"}}}, "default", field_manager="two")
        spec: Obj = {"f:spec": {"f:sail": {}}}
        assert owners(await client.get(V2, "a", "default"))["one"] == (f"{GROUP}/v1", spec)
        with pytest.raises(errors.Conflict, match=r'conflict with "one": \.spec\.sail'):
            await applied(V2, "three", rig="lug")
        assert (await applied(V2, "one"))["spec"].get("rig") is None, "who had it wants it no more"
        await applied(V1, "one", sail="gaff")
        await client.patch(V2, "a", {"spec": {"rig": "lug"}}, "default", field_manager="two")
        assert owners(await client.get(V1, "a", "default")).keys() == {"two"}
        await applied(V1, "one", sail="lug")

        # What is written is of the stored version; only its owner's is another.
        made.answer = lambda _: {"result": {"status": "Failure", "message": "no"}}
        left = await client.patch(V1, "a", {"metadata": {"labels": {"x": "z"}}}, "default", field_manager="four")
        assert owners(left) == {}, "as upstream"

    play(tmp_path, test)


def owners(obj: Obj) -> dict[str, tuple[str, Obj]]:
    """Of an object: the version that each manager spoke, and its fields."""
    entries = obj["metadata"].get("managedFields") or ()
    return {entry["manager"]: (entry["apiVersion"], entry["fieldsV1"]) for entry in entries}


def test_each_version_is_selected_by_its_own_fields(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        for letter, sail in zip("abc", ("gaff", "lug", "gaff"), strict=True):
            await client.create(V1, boat(letter, sail=sail))
        assert [name(obj) for obj in (await client.list(V2, "default", field_selector="spec.rig=gaff"))["items"]] == [
            "a",
            "c",
        ]
        query = {"fieldSelector": "spec.rig=gaff", "limit": "1"}
        page = await client.request("GET", V2.path("default"), query=query)
        assert [name(obj) for obj in page["items"]] == ["a"]
        query["continue"] = page["metadata"]["continue"]
        rest = await client.request("GET", V2.path("default"), query=query)
        assert [name(obj) for obj in rest["items"]] == ["c"]
        seen = []
        async for kind, obj in client.watch(V2, "default", resource_version="0", field_selector="spec.rig=gaff"):
            if kind == "BOOKMARK":
                continue
            seen.append((kind, name(obj), obj["spec"]["rig"]))
            if len(seen) == 2:
                await client.patch(V1, "b", {"spec": {"crew": 1}}, "default")
                await client.patch(V1, "b", {"spec": {"sail": "gaff"}}, "default")
                await client.patch(V1, "a", {"spec": {"sail": "lug"}}, "default")
            if len(seen) == 4:
                break
        assert seen == [
            ("ADDED", "a", "gaff"),
            ("ADDED", "c", "gaff"),
            ("ADDED", "b", "gaff"),
            ("DELETED", "a", "gaff"),
        ]
        query = {"fieldSelector": "spec.rig=lug"}
        await client.request("DELETE", V2.path("default"), query=query)
        assert [name(obj) for obj in (await client.list(V1, "default"))["items"]] == ["b", "c"]

    play(tmp_path, test)


def test_the_stored_version_may_change_and_what_lies_there_is_converted(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await client.create(V1, boat("a"))
        given = await client.get(DEFINITION, f"boats.{GROUP}")
        for one in given["spec"]["versions"]:
            one["storage"] = one["name"] == "v2"
        # Version 2 has no crew, so that a default of it would be a change each time.
        spec = given["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        del spec["properties"]["crew"]["default"]
        await client.update(DEFINITION, given)
        assert (await client.get(V2, "a", "default"))["spec"] == {"rig": "gaff"}
        same = await client.get(V1, "a", "default")
        assert same["spec"]["sail"] == "gaff", "it still lies there as v1"
        moved = await client.update(V1, same)
        assert moved["metadata"]["resourceVersion"] != same["metadata"]["resourceVersion"], "what is written is not"
        assert await client.update(V1, moved) == moved, "it lies there already"
        del made.asked[:]
        assert (await client.get(V2, "a", "default"))["spec"] == {"rig": "gaff"} and not made.asked
        new = await client.patch(V1, "a", {"spec": {"sail": "lug"}}, "default")
        assert new["spec"]["sail"] == "lug"
        del made.asked[:]
        assert (await client.get(V2, "a", "default"))["spec"] == {"rig": "lug"} and not made.asked

    play(tmp_path, test)


_UNUSABLE: list[tuple[Obj, str]] = [
    ({"result": {"status": "Failure", "message": "no"}}, f"{FAILED} failed: no"),
    ({"result": {"status": "Failed"}}, f"{FAILED} failed: response.result.status was 'Failed', not 'Success'"),
    ({}, f"{FAILED} failed: response.result.status was '', not 'Success'"),
    ({"result": "odd"}, f"{FAILED} failed: response.result.status was '', not 'Success'"),
    ({"result": {"status": "Success"}}, f"{FAILED} returned 0 objects, expected 1"),
    ({"result": {"status": "Success"}, "convertedObjects": 1}, f"{FAILED} returned 0 objects, expected 1"),
]


def test_an_answer_that_converts_nothing_is_told(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await client.create(V1, boat("a"))
        for answer, told in _UNUSABLE:
            made.answer = lambda _, answer=answer: answer  # type: ignore[misc]
            with pytest.raises(errors.ApiError) as refusal:
                await client.get(V2, "a", "default")
            assert (refusal.value.status_code, refusal.value.message) == (500, told)

    play(tmp_path, test)


_ANOTHER: list[tuple[dict[str, Any], str]] = [
    ({"apiVersion": f"{GROUP}/v1"}, "object at index 0: invalid groupVersion (expected {0}/v2, received {0}/v1)"),
    ({"kind": "Ship"}, "object at index 0: invalid kind (expected Boat, received Ship)"),
    ({"metadata": {"name": "b"}}, "object: must have the same name: a != b"),
    ({"metadata": None}, "metadata: missing metadata in converted object"),
    ({"labels": {"a": 1}}, "metadata: metadata.labels[a] must be a string, but is number in converted object"),
]


def test_a_converted_object_must_be_the_same_one(tmp_path: Path) -> None:
    def changed(request: Obj, change: dict[str, Any]) -> Obj:
        response = rigged(request)
        (obj,) = response["convertedObjects"]
        if "labels" in change:
            obj["metadata"] = {**obj["metadata"], "labels": change["labels"]}
        elif change.get("metadata"):
            obj["metadata"] = {**obj["metadata"], **change["metadata"]}
        else:
            obj |= change
        return response

    async def test(client: Client, made: Backend) -> None:
        await client.create(V1, boat("a"))
        for change, told in _ANOTHER:
            made.answer = partial(changed, change=change)
            with pytest.raises(errors.ApiError) as refusal:
                await client.get(V2, "a", "default")
            assert refusal.value.message == f"{FAILED} returned invalid {told.format(GROUP)}"
        made.answer = lambda request: {**rigged(request), "uid": "another"}
        with pytest.raises(errors.ApiError, match='failed: expected response.uid="'):
            await client.get(V2, "a", "default")

    play(tmp_path, test)


def test_much_is_converted_in_portions(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        for letter in "abc":
            await client.create(V1, boat(letter, sail=letter * 450_000))
        listed = (await client.list(V2, "default"))["items"]
        assert [obj["spec"]["rig"][0] for obj in listed] == ["a", "b", "c"]
        assert [len(asked["objects"]) for asked in made.asked] == [2, 1]

    play(tmp_path, test)


def test_labels_may_be_converted_and_other_metadata_stays(tmp_path: Path) -> None:
    def labelled(request: Obj) -> Obj:
        response = rigged(request)
        for obj in response["convertedObjects"]:
            obj["metadata"] = {**obj["metadata"], "labels": {"by": "hook"}, "resourceVersion": "1", "finalizers": ["x"]}
        return response

    async def test(client: Client, made: Backend) -> None:
        first = await client.create(V1, boat("a"))
        made.answer = labelled
        shown = (await client.get(V2, "a", "default"))["metadata"]
        assert shown["labels"] == {"by": "hook"} and "finalizers" not in shown
        assert shown["resourceVersion"] == first["metadata"]["resourceVersion"]

    play(tmp_path, test)


def test_the_authority_is_the_bundle_s(tmp_path: Path) -> None:
    async def test(client: Client, made: Backend) -> None:
        await client.create(V1, boat("a"))
        given = await client.get(DEFINITION, f"boats.{GROUP}")
        ca = base64.b64encode((tmp_path / "ca.crt").read_bytes()).decode()
        given["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = ca
        await client.update(DEFINITION, given)
        url = f'Post "https://127.0.0.1:{made.port}/hook"'
        with pytest.raises(errors.ApiError, match=f"{FAILED} failed: {url}: tls: failed to verify certificate"):
            await client.get(V2, "a", "default")

    play(tmp_path, test)


def test_a_failed_conversion_is_told_again_and_not_left_for_the_collector() -> None:
    class Refusing:
        async def shown(self, obj: Obj, kind: Kind) -> Obj:
            raise errors.InternalError(FAILED) from ValueError("why")

    async def main() -> None:
        conversions = Conversions()
        gone = weakref.ref(conversions)
        for _ in range(2):
            with pytest.raises(errors.InternalError, match=FAILED):
                await conversions.made(boat("a"), V2, cast(Catalog, Refusing()))
        del conversions
        assert gone() is None

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
