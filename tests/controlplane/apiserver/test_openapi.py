import json

import pytest

from apimachinery.kinds import Kind
from controlplane.apiserver.openapi import operations, schemas
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
    assert not double


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


def test_what_is_always_there_has_a_default(core):
    found = core["components"]["schemas"]

    def default(kind, field):
        return found[f"io.k8s.api.core.v1.{kind}"]["properties"][field].get("default", "none")

    assert default("Pod", "spec") == default("PodTemplateSpec", "metadata") == {}
    assert (default("Container", "name"), default("PodStatus", "phase")) == ("", "none")
    assert (default("Taint", "effect"), default("ContainerPort", "containerPort")) == ("", 0)
    # References, lists, and what is written as something else than its type.
    listed = [("Container", "image"), ("PodSpec", "affinity"), ("PodSpec", "containers"), ("ServicePort", "targetPort")]
    assert [default(*one) for one in [*listed, ("Event", "eventTime"), ("PodStatus", "qosClass")]] == ["none"] * 6


def test_a_deletion_is_answered_with_what_it_is_answered_with(documents, core):
    def answer(document, path):
        content = document["paths"][path]["delete"]["responses"]["200"]["content"]["application/json"]
        return content["schema"]["$ref"].rpartition(".")[2]

    assert answer(core, "/api/v1/namespaces/{namespace}/pods/{name}") == "Pod"
    assert answer(core, "/api/v1/namespaces/{namespace}/configmaps/{name}") == "Status"
    assert answer(core, "/api/v1/namespaces/{namespace}/pods") == "Status"
    assert "202" not in core["paths"]["/api/v1/namespaces/{namespace}/pods"]["delete"]["responses"]


def test_parameters_of_all_operations_are_the_path_s(core):
    def names(path, *method):
        found = core["paths"][path]
        for one in method:
            found = found[one]
        return [parameter["name"] for parameter in found.get("parameters", ())]

    everywhere = names("/api/v1/pods")
    assert "labelSelector" in everywhere and everywhere == sorted(everywhere) and "pretty" in everywhere
    assert names("/api/v1/pods", "get") == []
    inside = "/api/v1/namespaces/{namespace}/pods"
    assert names(inside) == ["namespace", "pretty"] and "labelSelector" in names(inside, "get")
    evicting = ["dryRun", "fieldManager", "fieldValidation", "name", "namespace", "pretty"]
    assert names(f"{inside}/{{name}}/eviction") == evicting
    stream = ["command", "container", "name", "namespace", "stderr", "stdin", "stdout", "tty"]
    assert names(f"{inside}/{{name}}/exec") == stream
    assert names(f"{inside}/{{name}}/proxy/{{path}}") == ["name", "namespace", "path", "path"]
    (described,) = (p for p in core["paths"][f"{inside}/{{name}}/eviction"]["parameters"] if p["name"] == "name")
    assert described["description"] == "name of the Eviction"


def test_operations_are_called_as_generated_clients_call_them(documents, core):
    inside = "/api/v1/namespaces/{namespace}/pods"
    proxied = core["paths"][f"{inside}/{{name}}/proxy/{{path}}"]
    assert {"head", "options", "patch"} <= proxied.keys()
    assert proxied["head"]["operationId"] == "connectCoreV1HeadNamespacedPodProxyWithPath"
    assert core["paths"][f"{inside}/{{name}}/proxy"]["get"]["operationId"] == "connectCoreV1GetNamespacedPodProxy"
    assert core["paths"][inside]["delete"]["operationId"] == "deleteCoreV1CollectionNamespacedPod"
    described = {path: core["paths"][f"/api/v1/namespaces/{{namespace}}/{path}"]["post"] for path in ("pods", "events")}
    assert [one["description"] for one in described.values()] == ["create a Pod", "create an Event"]
    endpoints = core["paths"]["/api/v1/namespaces/{namespace}/endpoints"]["post"]
    assert endpoints["description"] == "create Endpoints"
    rbac = json.loads(documents.v3("apis/rbac.authorization.k8s.io/v1"))["paths"]
    available = rbac["/apis/rbac.authorization.k8s.io/v1/"]
    assert set(available) == {"get"} and available["get"]["operationId"] == "getRbacAuthorizationV1APIResources"
    assert available["get"]["tags"] == ["rbacAuthorization_v1"]
    assert "x-kubernetes-action" not in available["get"]


def test_a_group_s_words_are_parted_by_whatever_is_no_letter():
    kind = Kind("my-group.example.com", "v1", "Widget", "widgets", "widget", False, verbs=frozenset(("get",)))
    (available, one) = operations.paths([kind], schemas.Types({}))
    assert available.operations[0].tag == "myGroupExampleCom_v1"
    assert one.operations[0].identity == "readMyGroupExampleComV1Widget"


def test_options_are_of_the_document_s_own_group_version(documents):
    found = json.loads(documents.v3("apis/apps/v1"))["components"]["schemas"]
    options = found["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"]
    assert [(one["group"], one["version"]) for one in options] == [("", "v1"), ("apps", "v1")]


def test_both_versions_tell_the_same_answers(documents):
    document = json.loads(documents.v2())["paths"]
    for name in documents.names():
        for path, item in json.loads(documents.v3(name))["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    told = document[path][method]
                    assert told["responses"].keys() == operation["responses"].keys(), (path, method)
                    assert told["operationId"] == operation["operationId"]
    created = document["/api/v1/namespaces/{namespace}/configmaps"]["post"]["responses"]
    assert list(created) == ["200", "201", "202", "401"]
    assert created["202"]["schema"] == {"$ref": schemas.V2_PREFIX + "io.k8s.api.core.v1.ConfigMap"}
    read = document["/api/v1/namespaces/{namespace}/pods/{name}/log"]["get"]["responses"]
    assert read["200"]["schema"] == {"type": "string"} and "schema" not in read["401"]
    assert document["/api/v1/componentstatuses"]["get"]["description"] == "list objects of kind ComponentStatus"
