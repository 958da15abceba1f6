from apimachinery.kinds import CONFIG_MAP, HORIZONTAL_POD_AUTOSCALER, TOKEN_REVIEW
from controlplane.apiserver.discovery import Discovery, storage_version_hash
from controlplane.apiserver.resources import builtin
from tests.controlplane.apiserver import golden

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
