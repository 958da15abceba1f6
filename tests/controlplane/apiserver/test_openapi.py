import json

import pytest

from controlplane.apiserver.openapi import schemas
from controlplane.apiserver.openapi.documents import Documents
from controlplane.apiserver.resources import builtin


@pytest.fixture(scope="module")
def documents():
    return Documents(builtin.ROWS, "v1.36.0")


@pytest.fixture(scope="module")
def core(documents):
    return json.loads(documents.v3("api/v1"))


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_group_version_has_a_document_that_is_closed(documents):
    for name in documents.names():
        document = json.loads(documents.v3(name))
        known = {schemas.V3_PREFIX + key for key in document["components"]["schemas"]}
        assert set(references(document)) <= known, name


def test_v2_is_closed_and_holds_all_paths(documents):
    document = json.loads(documents.v2())
    assert set(references(document)) <= {schemas.V2_PREFIX + key for key in document["definitions"]}
    every = {path for name in documents.names() for path in json.loads(documents.v3(name))["paths"]}
    assert set(document["paths"]) == every


def test_operation_ids_are_unique(documents):
    document = json.loads(documents.v2())
    found = [op["operationId"] for item in document["paths"].values() for k, op in item.items() if k != "parameters"]
    double = {name for name in found if found.count(name) > 1}
    # A proxied object and a path below it are one operation to clients, as upstream numbers them.
    assert all("Proxy" in name for name in double), double


def test_index_names_a_document_for_every_address(documents):
    for name, entry in documents.index()["paths"].items():
        path, _, query = entry["serverRelativeURL"].partition("?")
        assert path == f"/openapi/v3/{name}" and query.startswith("hash=")
        assert documents.v3(name)


def test_unknown_document_is_none(documents):
    assert documents.v3("apis/nope/v1") is None


def test_patch_takes_field_validation_so_that_kubectl_asks_for_it(core):
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= {p["name"] for p in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


def test_list_and_single_and_all_namespaces_paths(core):
    paths = core["paths"]
    assert paths["/api/v1/pods"]["get"]["x-kubernetes-action"] == "list"
    assert paths["/api/v1/namespaces/{namespace}/pods"]["delete"]["x-kubernetes-action"] == "deletecollection"
    assert paths["/api/v1/namespaces/{namespace}/pods/{name}"]["get"]["x-kubernetes-action"] == "get"
    assert paths["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["get"]["x-kubernetes-action"] == "connect"
    assert "/api/v1/nodes/{name}" in paths and "/api/v1/namespaces/{namespace}/nodes" not in paths


def test_schemas_say_what_upstream_says(core):
    found = core["components"]["schemas"]
    pod = found["io.k8s.api.core.v1.Pod"]
    assert pod["type"] == "object"
    assert pod["properties"]["kind"]["type"] == "string" and "enum" not in pod["properties"]["kind"]
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": schemas.V3_PREFIX + "io.k8s.api.core.v1.PodSpec"}]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    containers = found["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["items"] == {"$ref": schemas.V3_PREFIX + "io.k8s.api.core.v1.Container"}
    assert found[schemas.QUANTITY]["oneOf"] == [{"type": "string"}, {"type": "number"}]
    assert found[schemas.INT_OR_STRING]["format"] == "int-or-string"
