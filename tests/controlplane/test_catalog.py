"""Kinds are a value: one row added to a running server is a kind in every respect, and gone when it is taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apimachinery import discovery, errors
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import CONFIG_MAP, NAMESPACE, define
from apimachinery.objects import Obj, name
from controlplane.apiserver.cache.selectable import selectable
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.conversion import Conversion
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Table, text
from tests.controlplane.stage import Stage, kubeconfig_of, stage
from tests.waiting import SECONDS, WHOLE

TYPE = "com.example.v1.Boat"
BOAT = define("example.com", "v1", "Boat", "boats", short="bt", categories="all", status=True)
BOATS = Resource(
    BOAT,
    Strategy(default=lambda obj: None, settle=lambda obj: None, generation=True),
    columns=Table((NAME, text("Sail", "What it is driven by."), AGE), lambda obj, now: [
        texts.name(obj), obj["spec"]["sail"], texts.age(obj, now)
    ]),
    fields=selectable("spec.sail"),
    definitions={
        TYPE: {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Boat"}],
            "properties": {
                "apiVersion": {"type": ["string", "null"]},
                "kind": {"type": ["string", "null"]},
                "metadata": {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
                "spec": {
                    "type": "object",
                    "properties": {"sail": {"type": "string"}, "crew": {"type": "integer"}},
                },
                "status": {"type": "object", "properties": {"afloat": {"type": "boolean"}}},
            },
        }
    },
)  # fmt: skip


def boat(boat_name: str, space: str = "default", **metadata: Any) -> Obj:
    meta = {"name": boat_name, "namespace": space, **metadata}
    return {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": meta, "spec": {"sail": "gaff"}}


def play(root: Path, scenario: Any) -> None:
    async def main() -> None:
        catalog = builtin.catalog()
        async with stage(root, catalog) as set_up:
            await scenario(set_up, catalog)

    asyncio.run(asyncio.wait_for(main(), WHOLE))


async def served(client: Client) -> set[str]:
    return {kind.resource for kind in (await discovery.served(client)).kinds}


def test_a_row_is_a_kind_in_every_document(tmp_path: Path) -> None:
    async def scenario(set_up: Stage, catalog: Any) -> None:
        client = set_up.client
        assert BOAT.resource not in await served(client)
        with pytest.raises(errors.NotFound):
            await client.list(BOAT)
        before = await client.request("GET", "/openapi/v3")
        catalog.add(BOATS)
        assert BOAT.resource in await served(client)
        group = await client.request("GET", "/apis/example.com")
        assert group["preferredVersion"]["version"] == "v1"
        listed = (await client.request("GET", "/apis/example.com/v1"))["resources"]
        assert [r["name"] for r in listed] == ["boats", "boats/status"] and listed[0]["shortNames"] == ["bt"]
        index = await client.request("GET", "/openapi/v3")
        assert set(index["paths"]) - set(before["paths"]) == {"apis/example.com/v1"}
        document = await client.request("GET", "/openapi/v3/apis/example.com/v1")
        assert "spec" in document["components"]["schemas"][TYPE]["properties"]
        assert "/apis/example.com/v1/namespaces/{namespace}/boats/{name}/status" in document["paths"]
        swagger = await client.request("GET", "/openapi/v2")
        assert TYPE in swagger["definitions"]
        assert "/apis/example.com/v1" in (await client.request("GET", "/"))["paths"]
        catalog.remove(BOAT)
        assert BOAT.resource not in await served(client)
        assert TYPE not in (await client.request("GET", "/openapi/v2"))["definitions"]
        with pytest.raises(errors.NotFound):
            await client.request("GET", "/apis/example.com/v1")

    play(tmp_path, scenario)


def test_its_objects_are_written_read_selected_watched_and_shown(tmp_path: Path) -> None:
    async def scenario(set_up: Stage, catalog: Any) -> None:
        client = set_up.client
        catalog.add(BOATS)
        made = await client.create(BOAT, {**boat("a"), "status": {"afloat": True}})
        assert made["metadata"]["generation"] == 1 and "status" not in made
        with pytest.raises(errors.BadRequest, match="crew"):
            await client.create(BOAT, {**boat("b"), "spec": {"crew": "many"}})
        strict = {"fieldValidation": "Strict"}
        with pytest.raises(errors.BadRequest, match='unknown field "spec.keel"'):
            body = {**boat("b"), "spec": {"keel": 1}}
            await client.request("POST", BOAT.path("default"), body=body, query=strict)
        await client.create(BOAT, {**boat("b"), "spec": {"sail": "lug"}})
        found = (await client.list(BOAT, "default", field_selector="spec.sail=lug"))["items"]
        assert [name(obj) for obj in found] == ["b"]
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        table = await client.request("GET", BOAT.path("default"), headers=accept)
        assert [row["cells"][:2] for row in table["rows"]] == [["a", "gaff"], ["b", "lug"]]
        # Clients that prefer protobuf get what the kind has.
        accept = {"Accept": "application/vnd.kubernetes.protobuf,application/json"}
        assert (await client.request("GET", BOAT.path("default"), headers=accept))["kind"] == "BoatList"
        boats = Informer(client, BOAT)
        task = asyncio.ensure_future(boats.run())
        await boats.wait_synced()
        applied = {**boat("a"), "spec": {"sail": "square"}}
        query = {"fieldManager": "me", "force": "true"}
        path, kind = BOAT.path("default", "a"), "application/apply-patch+yaml"
        new = await client.request("PATCH", path, body=applied, query=query, content_type=kind)
        assert new["metadata"]["generation"] == 2
        assert any(entry["manager"] == "me" for entry in new["metadata"]["managedFields"])
        await set_up.until(lambda: (boats.get("default/a") or {}).get("spec") == {"sail": "square"})
        task.cancel()

    play(tmp_path, scenario)


def test_another_version_of_it_shows_and_takes_the_same_objects(tmp_path: Path) -> None:
    """Version 2 calls the sail a rig. What is stored is of version 1."""

    def renamed(obj: Obj, version: str, old: str, new: str) -> Obj:
        spec = {new if key == old else key: value for key, value in obj["spec"].items()}
        return {**obj, "apiVersion": f"example.com/{version}", "spec": spec}

    newer = define("example.com", "v2", "Boat", "boats", short="bt", categories="all", status=True)
    kind = {"group": "example.com", "version": "v2", "kind": "Boat"}
    spec = {"type": "object", "properties": {"rig": {"type": "string"}}}
    definition = {**BOATS.definitions[TYPE], "x-kubernetes-group-version-kind": [kind]}
    definition["properties"] = {**definition["properties"], "spec": spec}
    conversion = Conversion(
        lambda obj: renamed(obj, "v2", "sail", "rig"), lambda obj: renamed(obj, "v1", "rig", "sail")
    )
    row = replace(BOATS, kind=newer, conversion=conversion, definitions={"com.example.v2.Boat": definition})

    async def scenario(set_up: Stage, catalog: Any) -> None:
        client = set_up.client
        catalog.add(BOATS, row)
        await client.create(newer, {**boat("a"), "apiVersion": "example.com/v2", "spec": {"rig": "lug"}})
        assert (await client.get(BOAT, "a", "default"))["spec"] == {"sail": "lug"}
        await client.create(BOAT, boat("b"))
        listed = await client.list(newer, "default")
        assert listed["apiVersion"] == "example.com/v2" and listed["kind"] == "BoatList"
        assert [obj["spec"] for obj in listed["items"]] == [{"rig": "lug"}, {"rig": "gaff"}]
        async for _, seen in client.watch(newer, "default", resource_version="0"):
            assert (seen["apiVersion"], seen["spec"]) == ("example.com/v2", {"rig": "lug"})
            break
        await client.patch(newer, "b", {"spec": {"rig": "square"}}, "default")
        assert (await client.get(BOAT, "b", "default"))["spec"] == {"sail": "square"}
        managed = (await client.get(BOAT, "b", "default"))["metadata"]["managedFields"]
        (entry,) = [each for each in managed if each["apiVersion"] == "example.com/v2"]
        assert entry["fieldsV1"] == {"f:spec": {"f:rig": {}}}
        catalog.remove(BOAT)
        assert (await client.get(newer, "a", "default"))["spec"] == {"rig": "lug"}, "the stored version is hidden alone"
        catalog.add(BOATS)
        catalog.remove(newer)
        assert (await client.get(BOAT, "a", "default"))["spec"] == {"sail": "lug"}

    play(tmp_path, scenario)


def test_a_kind_taken_away_keeps_its_objects_for_when_it_is_back(tmp_path: Path) -> None:
    async def scenario(set_up: Stage, catalog: Any) -> None:
        client = set_up.client
        catalog.add(BOATS)
        await client.create(BOAT, boat("a"))
        seen = asyncio.Event()
        watching = asyncio.ensure_future(_drained(client, seen))
        await asyncio.wait_for(seen.wait(), SECONDS)
        catalog.remove(BOAT)
        await asyncio.wait_for(watching, SECONDS)
        with pytest.raises(errors.NotFound):
            await client.get(BOAT, "a", "default")
        catalog.add(BOATS)
        assert name(await client.get(BOAT, "a", "default")) == "a"
        with pytest.raises(errors.AlreadyExists):
            await client.create(BOAT, boat("a"))

    play(tmp_path, scenario)


async def _drained(client: Client, seen: asyncio.Event) -> None:
    async for _ in client.watch(BOAT, "default", resource_version="0"):
        seen.set()


def test_rbac_decides_who_may(tmp_path: Path) -> None:
    async def scenario(set_up: Stage, catalog: Any) -> None:
        catalog.add(BOATS)
        await set_up.client.create(BOAT, boat("a"))
        somebody = Client.from_kubeconfig(kubeconfig_of(tmp_path, "somebody"))
        try:
            with pytest.raises(errors.Forbidden, match='cannot get resource "boats" in API group "example.com"'):
                await somebody.get(BOAT, "a", "default")
            group = "rbac.authorization.k8s.io"
            rules = [{"apiGroups": ["example.com"], "resources": ["boats"], "verbs": ["get"]}]
            meta = {"name": "sailor", "namespace": "default"}
            role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules}
            path = f"/apis/{group}/v1/namespaces/default"
            await set_up.client.request("POST", f"{path}/roles", body=role)
            subject = {"kind": "User", "name": "somebody", "apiGroup": group}
            reference = {"kind": "Role", "name": "sailor", "apiGroup": group}
            binding = {"metadata": meta, "subjects": [subject], "roleRef": reference}
            binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", **binding}
            await set_up.client.request("POST", f"{path}/rolebindings", body=binding)
            assert name(await somebody.get(BOAT, "a", "default")) == "a"
        finally:
            await somebody.close()

    play(tmp_path, scenario)


def test_garbage_collection_and_the_end_of_a_namespace_include_it(tmp_path: Path) -> None:
    async def scenario(set_up: Stage, catalog: Any) -> None:
        client = set_up.client
        await set_up.start_loops(discovery_period=0.1)
        catalog.add(BOATS)
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sea"}})
        owner = await client.create(BOAT, boat("flagship", "sea"))
        reference = {
            "apiVersion": "example.com/v1",
            "kind": "Boat",
            "name": "flagship",
            "uid": owner["metadata"]["uid"],
        }
        await client.create(BOAT, boat("dinghy", "sea", ownerReferences=[reference]))
        cargo = {"name": "cargo", "namespace": "sea", "ownerReferences": [reference]}
        await client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": cargo})
        await client.delete(BOAT, "flagship", "sea", propagation="Background")

        async def sunk() -> bool:
            maps = (await client.list(CONFIG_MAP, "sea"))["items"]
            return not (await client.list(BOAT, "sea"))["items"] and "cargo" not in map(name, maps)

        await set_up.until(sunk)
        await client.create(BOAT, boat("last", "sea"))
        await client.delete(NAMESPACE, "sea")

        async def emptied() -> bool:
            return "sea" not in map(name, (await client.list(NAMESPACE))["items"])

        await set_up.until(emptied)
        assert not (await client.list(BOAT))["items"]

    play(tmp_path, scenario)
