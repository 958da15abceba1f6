import pytest

from apimachinery.kinds import CONFIG_MAP, HORIZONTAL_POD_AUTOSCALER, TOKEN_REVIEW
from controlplane.apiserver.discovery import Discovery, storage_version_hash
from controlplane.apiserver.resources import builtin
from tests.controlplane.apiserver import golden
from tests.controlplane.apiserver.fingerprints import fingerprint

KINDS = builtin.catalog().kinds()


def get(path, aggregated=False):
    return Discovery(KINDS, "10.0.0.1:6443").find(path, aggregated)


def test_core_group_lists_pods_with_subresources_sorted():
    names = [resource["name"] for resource in get("/api/v1")["resources"]]
    assert names == sorted(names)
    assert {"pods", "pods/log", "pods/exec", "serviceaccounts/token"} <= set(names)


def test_subresource_of_another_group_says_so():
    scale = next(r for r in get("/apis/apps/v1")["resources"] if r["name"] == "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


def test_first_version_of_a_group_is_preferred():
    found = next(g for g in get("/apis")["groups"] if g["name"] == "autoscaling")
    assert found["preferredVersion"]["version"] == "v2"
    assert [v["version"] for v in found["versions"]] == ["v2", "v1"]


def test_aggregated_keeps_core_and_groups_apart():
    assert [item["metadata"] for item in get("/api", True)["items"]] == [{}]
    assert all(item["metadata"]["name"] for item in get("/apis", True)["items"])


def test_unknown_group_and_version_are_no_documents():
    discovery = Discovery(KINDS, "")
    assert discovery.find("/apis/nope.example.com", False) is None
    assert discovery.find("/apis/apps/v9", False) is None


def test_storage_version_hash_is_shared_by_versions_of_one_store_and_absent_for_reviews():
    other = next(k for k in KINDS if k.kind == "HorizontalPodAutoscaler" and k.version == "v1")
    assert storage_version_hash(other) == storage_version_hash(HORIZONTAL_POD_AUTOSCALER)
    assert storage_version_hash(CONFIG_MAP) == "qFsyl6wFWjQ="
    assert storage_version_hash(TOKEN_REVIEW) == ""


def test_equals_what_upstream_serves():
    want = golden.load("api/dumps/discovery.json")
    documents = Discovery(KINDS, want["api"]["serverAddressByClientCIDRs"][0]["serverAddress"])

    def served(path, aggregated=False):
        return documents.find(path, aggregated)

    assert served("/api", True) == want["aggregated_api"]
    assert served("/apis", True) == want["aggregated_apis"]
    assert served("/api") == want["api"]
    assert served("/apis") == want["apis"]
    assert served("/api/v1") == want["api_v1"]
    for path, resources in want["groups"].items():
        assert served(path) == resources, path


# Of what equals upstream's, for a server at 10.0.0.1:6443.
FINGERPRINTS = {
    "/api": "c655444919b34d52",
    "/apis": "e920f1a1900bf9d6",
    "/api/v1": "f33cb68869526723",
    "/apis/admissionregistration.k8s.io/v1": "0ca4c02f6bf8769f",
    "/apis/apiextensions.k8s.io/v1": "a98dcc76b4d07369",
    "/apis/apiregistration.k8s.io/v1": "8fc7f3cde83ad2f7",
    "/apis/apps/v1": "da4feadc08704015",
    "/apis/authentication.k8s.io/v1": "9f3a08aad7d51b33",
    "/apis/authorization.k8s.io/v1": "a15bd9eecc637f33",
    "/apis/autoscaling/v1": "b89ad6d9d30723bd",
    "/apis/autoscaling/v2": "afb80d503ed56839",
    "/apis/batch/v1": "e575717f3e6c1a54",
    "/apis/certificates.k8s.io/v1": "d61a3eeb6cf0a13e",
    "/apis/coordination.k8s.io/v1": "5d2282a5fef24f4c",
    "/apis/discovery.k8s.io/v1": "12977b0a1c6dd6ba",
    "/apis/events.k8s.io/v1": "0352e1bb56ae251e",
    "/apis/flowcontrol.apiserver.k8s.io/v1": "7a8e90e9cc9e60dc",
    "/apis/networking.k8s.io/v1": "8fa4b06cfd7a90ec",
    "/apis/node.k8s.io/v1": "52a11d9fe571723e",
    "/apis/policy/v1": "6ad89871334c0abd",
    "/apis/rbac.authorization.k8s.io/v1": "fd5fd1e5cce24b12",
    "/apis/resource.k8s.io/v1": "f15cfc33ea1cc3b2",
    "/apis/scheduling.k8s.io/v1": "89662a021eb1215c",
    "/apis/storage.k8s.io/v1": "ccfe927096ebddd7",
}


@pytest.mark.parametrize("path", FINGERPRINTS)
def test_each_document_is_as_it_was_when_it_equalled_upstream_s(path):
    assert fingerprint(get(path)) == FINGERPRINTS[path]


def test_every_document_has_its_fingerprint():
    assert {f"/apis/{kind.group}/{kind.version}" for kind in KINDS if kind.group} < FINGERPRINTS.keys()


@pytest.mark.parametrize(("path", "wanted"), [("/api", "4b01676dd71b1728"), ("/apis", "7972d9de53abd560")])
def test_aggregated_documents_are_too(path, wanted):
    assert fingerprint(get(path, True)) == wanted
