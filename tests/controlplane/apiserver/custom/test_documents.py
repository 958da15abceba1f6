"""What OpenAPI says can be done with custom resources: clients choose their requests by it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlplane.apiserver.openapi import operations
from controlplane.apiserver.openapi.documents import Documents
from controlplane.apiserver.resources import builtin
from tests.controlplane.apiserver.custom.definitions import GROUP, definition
from tests.controlplane.apiserver.custom.test_naming import settled, shown

# What upstream v1.36.2 tells of such a definition.
BOATS = f"/apis/{GROUP}/v1/namespaces/{{namespace}}/boats"
OWN = {"group": GROUP, "version": "v1", "kind": "Boat"}
TYPES = ["application/json", "application/yaml"]
PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents((*builtin.ROWS, *shown(settled(definition()))), "v1.36.0")


@pytest.fixture(scope="module")
def swagger(documents: Documents) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(documents.v2())["paths"]
    return found


@pytest.fixture(scope="module")
def paths(documents: Documents) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(documents.v3(f"apis/{GROUP}/v1") or "")["paths"]
    return found


@pytest.mark.parametrize("part", ["", "/status", "/scale"])
def test_a_custom_resource_is_patched_by_what_it_takes_as_the_kind_it_is(
    part: str, paths: dict[str, Any], swagger: dict[str, Any]
) -> None:
    patched = paths[f"{BOATS}/{{name}}{part}"]["patch"]
    assert list(patched["requestBody"]["content"]) == PATCHES == swagger[f"{BOATS}/{{name}}{part}"]["patch"]["consumes"]
    assert list(patched["responses"]) == ["200", "401"]
    of_all = [paths[f"{BOATS}/{{name}}{part}"][method] for method in ("get", "put", "patch")]
    assert all(one["x-kubernetes-group-version-kind"] == OWN for one in of_all)


def test_it_is_read_and_written_as_json_and_yaml_alone(paths: dict[str, Any], swagger: dict[str, Any]) -> None:
    for path, item in paths.items():
        for method in item.keys() - {"parameters"}:
            assert list(item[method]["responses"]["200"]["content"]) == TYPES == swagger[path][method]["produces"]
            if method != "patch":
                assert list(item[method].get("requestBody", {"content": TYPES})["content"]) == TYPES
                assert swagger[path][method]["consumes"] == TYPES


def test_operations_of_a_custom_resource_are_those_that_upstream_publishes(paths: dict[str, Any]) -> None:
    assert f"/apis/{GROUP}/v1/" not in paths
    assert paths[BOATS]["get"]["description"] == "list objects of kind Boat"
    ended = paths[BOATS]["delete"]
    assert "requestBody" not in ended and "dryRun" not in str(ended)
    read = paths[f"{BOATS}/{{name}}"]["get"]["parameters"]
    assert [one["name"] for one in read] == ["resourceVersion"]
    named = next(one for one in paths[f"{BOATS}/{{name}}/scale"]["parameters"] if one["name"] == "name")
    assert named["description"] == "name of the Boat"


def test_built_in_kinds_stay_as_they_are(swagger: dict[str, Any]) -> None:
    item = swagger["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert len(item["patch"]["consumes"]) == 4 and list(item["patch"]["responses"]) == ["200", "201", "401"]
    assert item["put"]["consumes"] == list(operations.ANYTHING)
    scale = swagger["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"]
    assert scale["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
