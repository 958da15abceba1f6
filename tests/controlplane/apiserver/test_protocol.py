"""What is refused before anything is read or written, and in which words."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from apimachinery.kit import metrics
from apimachinery.objects import Obj
from controlplane.apiserver.authz import reviews
from controlplane.apiserver.offloop import on_loop
from controlplane.apiserver.request import Attributes
from tests.controlplane.apiserver.server import run

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def refused(client: Client, method: str, path: str, body: Any = None, **query: str) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        await client.request(method, path, body=body, query=query)
    return caught.value


def test_a_method_that_is_no_verb_reaches_a_proxy_alone(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for method, path, status in (
            # Passed on: it is the proxy that knows no such pod.
            ("OPTIONS", "/api/v1/namespaces/default/pods/none/proxy", 404),
            ("OPTIONS", "/api/v1/namespaces/default/services/none/proxy/a", 404),
            ("OPTIONS", "/api/v1/nodes/none/proxy/", 404),
            ("TRACE", "/api/v1/namespaces/default/pods/none/proxy", 405),
            ("OPTIONS", "/api/v1/namespaces/default/pods/none", 405),
            ("OPTIONS", "/api/v1/namespaces/default/pods", 405),
            ("OPTIONS", "/api/v1/namespaces/default/pods/none/exec", 405),
        ):
            assert (await refused(client, method, path)).status_code == status, (method, path)
        shown, _ = metrics.exposition()
        assert b'verb="other"' in shown and b'verb="OPTIONS"' not in shown and b'verb="TRACE"' not in shown

    run(tmp_path, test)


def test_methods_that_a_path_does_not_know(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for method, path in (
            ("PUT", "/api/v1"),
            ("OPTIONS", "/api"),
            ("POST", "/version"),
            ("DELETE", "/apis/apps/v1"),
            ("POST", "/.well-known/openid-configuration"),
            ("OPTIONS", "/api/v1/namespaces/default/pods"),
            ("HEAD", "/api/v1/namespaces/default/pods/p/log"),
            ("HEAD", "/api/v1/namespaces/default/pods/p/status"),
            ("HEAD", "/apis/apps/v1/namespaces/default/deployments/d/scale"),
        ):
            assert (await refused(client, method, path)).status_code == 405, (method, path)
        # A path that says watch says it of every method.
        watched = "/api/v1/watch/namespaces/default/configmaps"
        for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            for path in (watched, f"{watched}/m"):
                assert (await refused(client, method, path)).status_code == 405, (method, path)
        assert (await refused(client, "GET", f"{watched}/m/status")).status_code == 404
        unwatched = await refused(client, "GET", "/api/v1/componentstatuses", watch="1")
        assert unwatched.message == 'watch is not supported on resources of kind "componentstatuses"'
        for path in ("/api/v1/bindings", "/apis/authorization.k8s.io/v1/localsubjectaccessreviews"):
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                assert (await refused(client, method, path)).status_code == 404, (method, path)
        assert (await refused(client, "OPTIONS", "/api/v1/namespaces/default/pods/p/none")).status_code == 404
        for method in ("GET", "POST", "OPTIONS"):
            assert (await client.request(method, "/apis"))["kind"] == "APIGroupList"
            assert (await client.request(method, "/apis/apps"))["kind"] == "APIGroup"
        scale = "/apis/apps/v1/namespaces/default/deployments/none/scale"
        with pytest.raises(errors.BadRequest, match="name must be provided"):
            await client.request("PUT", scale, body={})
        # Bindings are only made: none has a path.
        for method in ("GET", "DELETE"):
            error = await refused(client, method, "/api/v1/namespaces/default/bindings/b")
            assert (error.status_code, error.message) == (404, "the server could not find the requested resource")
        assert (await client.request("GET", "/apis/"))["kind"] == "APIGroupList"
        # Where no document is, the status alone says so.
        error = await refused(client, "GET", "/openapi/v3/apis/none")
        assert (error.status_code, error.message) == (404, "HTTP status 404")
        version = await client.request("GET", "/version")
        assert (version["emulationMinor"], version["minCompatibilityMinor"]) == ("36", "35")
        for accepted, told in (
            ("text/html", "Available representations"),
            ("application/json;as=Odd", "only the following"),
        ):
            with pytest.raises(errors.NotAcceptable, match=told):
                await client.request("GET", "/api/v1", headers={"Accept": accepted})

    run(tmp_path, test)


def test_a_token_behind_two_spaces_is_told_of(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer  x"}) as session:
            for path in ("/version", "/api/v1/nodes/none"):
                async with session.get(client.server + path, ssl=context) as answer:
                    given = answer.headers.getall("Warning")
                    assert [text for text in given if "extra space before the bearer token" in text]

    run(tmp_path, test)


def test_a_review_comes_with_what_it_need_not(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        asked = {"verb": "list", "resource": "pods", "labelSelector": {"rawSelector": "a in (b"}}
        spec = {"user": "u", "resourceAttributes": asked}
        body = {"metadata": {"namespace": "other"}, "spec": spec, "status": {"allowed": True}}
        review = await client.request("POST", path, body=body)
        assert "namespace" not in review["metadata"]
        assert review["metadata"]["managedFields"][0]["fieldsV1"]["f:status"] == {"f:allowed": {}}
        unread = "spec.resourceAttributes.labelSelector ignored due to parse error"
        assert review["status"] == {"allowed": False, "evaluationError": unread}

    run(tmp_path, test)


def test_a_reviews_long_selector_is_read_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[bool] = []
    read = reviews.attributes_of

    def noted(spec: Obj) -> tuple[Attributes, str]:
        places.append(on_loop())
        return read(spec)

    monkeypatch.setattr(reviews, "attributes_of", noted)

    async def test(client: Client) -> None:
        for raw in ("a=b", "a=b," * 1000 + "c=d"):
            asked = {"verb": "list", "resource": "pods", "labelSelector": {"rawSelector": raw}}
            body = {"spec": {"resourceAttributes": asked}}
            await client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)

    run(tmp_path, test)
    assert places == [True, False]


def test_creates_that_say_what_only_the_server_may_say(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        pinned = await refused(client, "POST", MAPS, config_map(name="m", resourceVersion="5"))
        assert (
            pinned.status_code == 500 and pinned.message == "resourceVersion should not be set on objects to be created"
        )
        wrong = await refused(client, "POST", MAPS, config_map(name="M", resourceVersion="5"))
        assert wrong.status_code == 422, "what is wrong with it comes first"
        await client.request("POST", MAPS, body=config_map(name="m", generateName="m-"))
        again = await refused(client, "POST", MAPS, config_map(name="m", resourceVersion="5"))
        assert again.message == pinned.message
        taken = await refused(client, "POST", MAPS, config_map(name="m", generateName="m-"))
        assert taken.message.endswith("the server was not able to generate a unique name for the object")
        assert taken.retry_after == 1
        blank = await refused(client, "POST", MAPS, config_map(name="n"), dryRun="")
        assert 'dryRun: Unsupported value: [""]: supported values: "All"' in blank.message
        merged = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"d"},"data":{"a":"1"},"data":{"b":"2"}}'
        assert (await client.request("POST", MAPS, body=merged))["data"] == {"a": "1", "b": "2"}

    run(tmp_path, test)


def test_a_namespace_says_its_name_in_a_label_whoever_chose_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for given in ({"name": "chosen"}, {"generateName": "made-"}):
            found = (await client.request("POST", "/api/v1/namespaces", body={"metadata": given}))["metadata"]
            assert found["labels"] == {"kubernetes.io/metadata.name": found["name"]}

    run(tmp_path, test)


def test_reads_that_cannot_be(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        assert (await refused(client, "GET", f"{MAPS}/m", resourceVersion="abc")).status_code == 500
        assert (await refused(client, "GET", MAPS, resourceVersion="abc")).status_code == 400
        assert (await refused(client, "GET", MAPS, watch="1", resourceVersion="abc")).status_code == 500
        sets = "/apis/apps/v1/namespaces/default/replicasets"
        unknown = '"status.replicas" is not a known field selector: only "metadata.name", "metadata.namespace"'
        assert (await refused(client, "GET", sets, fieldSelector="status.replicas=1")).message == unknown
        named = await refused(client, "GET", "/api/v1/namespaces", fieldSelector="name=default")
        assert named.message == "field label not supported: name"
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        assert not (await client.request("GET", roles, query={"fieldSelector": "metadata.namespace=x"}))["items"]
        assert (await client.request("GET", roles, query={"fieldSelector": "metadata.namespace="}))["items"]
        jobs = "/apis/batch/v1/namespaces/default/jobs"
        assert (
            await refused(client, "GET", jobs, fieldSelector="a=1")
        ).message == 'field label "a" not supported for Job'
        nobody = await refused(client, "GET", "/api/v1/componentstatuses/none")
        assert nobody.status_code == 404 and nobody.message == 'componentstatus "none" not found'

    run(tmp_path, test)


def test_components_and_their_table(tmp_path: Path) -> None:
    """Nobody but the store is there: the others are Unhealthy, in a row of their own."""

    async def test(client: Client) -> None:
        path = "/api/v1/componentstatuses"
        found = {c["metadata"]["name"]: c["conditions"][0] for c in (await client.request("GET", path))["items"]}
        assert list(found) == ["controller-manager", "scheduler", "etcd-0"]
        assert found["etcd-0"] == {"type": "Healthy", "status": "True", "message": "ok"}
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        shown = await client.request("GET", path, headers=table)
        assert [c["name"] for c in shown["columnDefinitions"]] == ["Name", "Status", "Message", "Error"]
        assert shown["rows"][2]["cells"] == ["etcd-0", "Healthy", "ok", ""]
        for row in shown["rows"][:2]:
            assert row["cells"][1] == "Unhealthy" and ":102" in row["cells"][2]
        (only,) = (await client.request("GET", f"{path}/etcd-0", headers=table))["rows"]
        assert only["cells"] == ["etcd-0", "Healthy", "ok", ""]
        query = {"fieldSelector": "metadata.name=etcd-0"}
        assert len((await client.request("GET", path, query=query))["items"]) == 1
        assert (await client.request("GET", path, query={"labelSelector": "a=b"}))["items"] == []

    run(tmp_path, test)


def test_an_autoscalers_table_is_of_what_is_stored(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
        memory = {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}
        spec = {"scaleTargetRef": target, "maxReplicas": 5, "metrics": [{"type": "Resource", "resource": memory}]}
        scaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h"},
            "spec": spec,
        }
        path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
        made = await client.request("POST", path.format("v2"), body=scaler)
        assert made["status"] == {"desiredReplicas": 0, "currentMetrics": None}
        accept = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
        table = await client.request("GET", path.format("v1"), headers=accept)
        assert "memory: <unknown>/70%" in table["rows"][0]["cells"]
        assert "annotations" not in table["rows"][0]["object"]["metadata"]

    run(tmp_path, test)


def test_addresses_of_a_pod_and_of_a_service_are_kept_in_step(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(kinds.SERVICE_ACCOUNT, account)
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(
            kinds.POD,
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": spec},
        )
        for status, both in (({"podIP": "10.1.0.5"}, "10.1.0.5"), ({"podIP": "10.1.0.6"}, "10.1.0.6")):
            after = await client.patch(kinds.POD, "p", {"status": status}, "default", subresource="status")
            assert after["status"]["podIP"] == both and after["status"]["podIPs"] == [{"ip": both}]
        with pytest.raises(errors.Invalid, match=r"status.qosClass: Invalid value: \"Guaranteed\": field is immutable"):
            await client.patch(kinds.POD, "p", {"status": {"qosClass": "Guaranteed"}}, "default", subresource="status")
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}}
        made = await client.create(kinds.SERVICE, {**service, "spec": {"ports": [{"port": 80}]}})
        kept = await client.patch(kinds.SERVICE, "s", {"spec": {"clusterIP": None}}, "default")
        assert kept["spec"]["clusterIPs"] == made["spec"]["clusterIPs"] == [kept["spec"]["clusterIP"]]
        # Families are settled before rules are asked: what has no address may be of both, what has one may not.
        headless = {**service, "metadata": {"name": "h", "namespace": "default"}}
        await client.create(kinds.SERVICE, {**headless, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}})
        with pytest.raises(errors.Invalid) as refusal:
            await client.patch(kinds.SERVICE, "h", {"spec": {"clusterIP": "10.97.0.77"}}, "default")
        assert [cause["field"] for cause in (refusal.value.details or {})["causes"]] == [
            "spec.ipFamilyPolicy",
            "spec.ipFamilies[1]",
        ]

    run(tmp_path, test)
