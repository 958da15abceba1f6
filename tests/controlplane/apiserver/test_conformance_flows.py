"""What upstream's conformance tests ask of single kinds, step by step: what is written is what is read back."""

import base64
import json

import jwt
import pytest

from apimachinery import errors, pki
from apimachinery.client import PatchType
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST as CSR
from apimachinery.kinds import EVENT, EVENT_V1, IP_ADDRESS, LEASE, SERVICE_ACCOUNT, SERVICE_CIDR, TOKEN_REVIEW
from tests.controlplane.apiserver.server import run
from tests.controlplane.apiserver.test_signing_requests import pem

STRICT = {"fieldValidation": "Strict"}
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(spec):
    """A Deployment as text, with `spec` put in as it is."""
    template = '{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}'
    selector = '"selector":{"matchLabels":{"a":"b"}}'
    return (
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},'
        f'"spec":{{{spec},{selector},"template":{template}}}}}'
    ).encode()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            '"unknownField":"foo","replicas":2,"replicas":3',
            'unknown field "spec.unknownField", duplicate field "spec.replicas"',
        ),
        (
            '"replicas":2,"replicas":3,"unknownField":"foo"',
            'duplicate field "spec.replicas", unknown field "spec.unknownField"',
        ),
        (
            '"x":1,"strategy":{"y":1,"type":"Recreate","type":"Recreate","z":1},"x":2',
            'unknown field "spec.x", unknown field "spec.strategy.y", duplicate field "spec.strategy.type", '
            'unknown field "spec.strategy.z", duplicate field "spec.x"',
        ),
    ],
)
def test_strict_validation_names_everything_in_the_order_of_the_text(tmp_path, spec, told):
    async def test(client):
        with pytest.raises(errors.BadRequest) as refused:
            await client.request("POST", DEPLOYMENTS, body=deployment(spec), query=STRICT)
        assert refused.value.message.endswith(f"strict decoding error: {told}")

    run(tmp_path, test)


def lease(name, **spec):
    spec = {"holderIdentity": "holder", "leaseDurationSeconds": 30, "leaseTransitions": 0, **spec}
    metadata = {"name": name, "namespace": "default"}
    return {"kind": "Lease", "apiVersion": LEASE.api_version, "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("patch_type", [PatchType.STRATEGIC, PatchType.MERGE])
def test_times_near_the_beginning_of_time_are_times(tmp_path, patch_type):
    """Go's zero time is no time; seconds after it is one."""
    times = {"acquireTime": "0001-01-01T00:00:02.000000Z", "renewTime": "0001-01-01T00:00:05.000001Z"}

    async def test(client):
        made = await client.create(LEASE, lease("a", **times))
        assert made["spec"] == lease("a", **times)["spec"]
        made["spec"]["acquireTime"] = "0001-01-01T00:00:20.000000Z"
        assert (await client.update(LEASE, made))["spec"] == made["spec"]
        spec = {"acquireTime": "0001-01-01T00:00:50.000000Z", "renewTime": "0001-01-01T00:01:10.000000Z"}
        patched = await client.patch(LEASE, "a", {"spec": spec}, "default", patch_type=patch_type)
        assert patched["spec"] == {**made["spec"], **spec}
        patched["spec"]["renewTime"] = "0001-01-01T00:00:00.000000Z"
        assert "renewTime" not in (await client.update(LEASE, patched))["spec"]

    run(tmp_path, test)


def test_leases_are_deleted_by_their_labels(tmp_path):
    async def test(client):
        for name, labels in (("a", {}), ("b", {"gone": "true"})):
            obj = lease(name)
            await client.create(LEASE, {**obj, "metadata": {**obj["metadata"], "labels": labels}})
        await client.request("DELETE", LEASE.path("default"), query={"labelSelector": "gone=true"})
        everywhere = await client.request("GET", LEASE.path())
        assert [item["metadata"]["name"] for item in everywhere["items"]] == ["a"]

    run(tmp_path, test)


EVENT_OBJECT = {
    "apiVersion": EVENT_V1.api_version,
    "kind": "Event",
    "metadata": {"name": "event-test", "namespace": "default", "labels": {"constant": "true"}},
    "regarding": {"namespace": "default", "kind": "Pod", "name": "p"},
    "eventTime": "2017-09-19T13:49:16.000000Z",
    "note": "said",
    "action": "Do",
    "reason": "Test",
    "type": "Normal",
    "reportingController": "test-controller",
    "reportingInstance": "test-node",
}


def plain(event):
    """An event without what the server writes."""
    metadata = {k: v for k, v in event["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {**event, "metadata": metadata}


@pytest.mark.parametrize("patch_type", [PatchType.STRATEGIC, PatchType.MERGE])
def test_an_event_is_read_back_as_patched_and_updated(tmp_path, patch_type):
    async def test(client):
        await client.create(EVENT_V1, EVENT_OBJECT)
        before = plain(await client.get(EVENT_V1, "event-test", "default"))
        series = {"count": 2, "lastObservedTime": "2017-09-19T13:49:11.000000Z"}
        await client.patch(EVENT_V1, "event-test", {"series": series}, "default", patch_type=patch_type)
        assert plain(await client.get(EVENT_V1, "event-test", "default")) == {**before, "series": series}
        later = {**before, "series": {"count": 100, "lastObservedTime": "2017-09-19T13:49:16.000000Z"}}
        await client.update(EVENT_V1, later)
        assert plain(await client.get(EVENT_V1, "event-test", "default")) == later

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("kind", "selector", "count"),
    [
        (EVENT_V1, "reportingController=test-controller", 1),
        (EVENT_V1, "reportingController=other", 0),
        (EVENT_V1, "regarding.name=p,regarding.kind=Pod", 1),
        (EVENT_V1, "regarding.name=q", 0),
        (EVENT_V1, "reason=Test,type=Normal", 1),
        (EVENT, "source=test-controller", 1),
        (EVENT, "reportingComponent=test-controller", 1),
        (EVENT, "involvedObject.name=p", 1),
        # Each version has its own names.
        (EVENT_V1, "involvedObject.name=p", None),
        (EVENT_V1, "reportingComponent=test-controller", None),
        (EVENT, "regarding.name=p", None),
    ],
)
def test_events_are_selected_by_the_names_of_their_version(tmp_path, kind, selector, count):
    async def test(client):
        await client.create(EVENT_V1, EVENT_OBJECT)
        for path in (kind.path(), kind.path("default")):
            query = {"fieldSelector": selector, "labelSelector": "constant=true"}
            if count is None:
                with pytest.raises(errors.BadRequest, match="field label not supported"):
                    await client.request("GET", path, query=query)
            else:
                assert len((await client.request("GET", path, query=query))["items"]) == count

    run(tmp_path, test)


def test_what_sticks_through_approval_and_status_of_a_certificate_request(tmp_path):
    certificate = base64.b64encode(pki.new_ca("e2e").cert_pem).decode()
    spec = {"request": pem("e2e.example.com"), "signerName": "example.com/e2e", "usages": ["server auth"]}
    obj = {"kind": "CertificateSigningRequest", "apiVersion": CSR.api_version, "metadata": {"name": "c"}, "spec": spec}

    async def test(client):
        await client.create(CSR, obj)
        condition = {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}
        patch = {"metadata": {"annotations": {"approval": "true"}}, "status": {"conditions": [condition]}}
        found = await client.patch(CSR, "c", patch, subresource="approval", patch_type=PatchType.MERGE)
        assert found["metadata"]["annotations"] == {"approval": "true"}
        assert [c["type"] for c in found["status"]["conditions"]] == ["ApprovalPatch"]
        found["status"]["conditions"].append({"type": "Approved", "status": "True", "reason": "E2E", "message": "m"})
        found["metadata"]["labels"] = {"updated": "true"}
        found = await client.update(CSR, found, subresource="approval")
        assert [c["type"] for c in found["status"]["conditions"]] == ["ApprovalPatch", "Approved"]
        assert found["metadata"]["labels"] == {"updated": "true"}
        patch = {"metadata": {"annotations": {"status": "true"}}, "status": {"certificate": certificate}}
        found = await client.patch(CSR, "c", patch, subresource="status", patch_type=PatchType.MERGE)
        assert found["status"]["certificate"] == certificate
        assert found["metadata"]["annotations"] == {"approval": "true", "status": "true"}
        found["status"]["conditions"][1]["reason"] = "Mine"
        found["status"]["conditions"].append({"type": "Failed", "status": "True", "reason": "E2E"})
        found = await client.update(CSR, found, subresource="status")
        assert [(c["type"], c["reason"]) for c in found["status"]["conditions"]] == [
            ("ApprovalPatch", "e2e"),
            ("Approved", "E2E"),
            ("Failed", "E2E"),
        ]
        for path in ("approval", "status"):
            assert (await client.request("GET", f"{CSR.path()}/c/{path}"))["kind"] == "CertificateSigningRequest"
        query = {"fieldSelector": "spec.signerName=example.com/e2e"}
        assert len((await client.request("GET", CSR.path(), query=query))["items"]) == 1
        await client.request("DELETE", CSR.path(), query=query)
        assert (await client.request("GET", CSR.path(), query=query))["items"] == []

    run(tmp_path, test)


def test_ranges_and_addresses_can_be_written(tmp_path):
    async def test(client):
        assert (await client.get(SERVICE_CIDR, "kubernetes"))["spec"]["cidrs"]
        status = await client.request("GET", f"{SERVICE_CIDR.path()}/kubernetes/status")
        assert status["kind"] == "ServiceCIDR"
        parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}
        for name, kind in (("255.255.255.255", "broadcast"), ("fe80::42:1dff:fe84:f9e2", "link-local")):
            obj = {"kind": "IPAddress", "apiVersion": IP_ADDRESS.api_version, "spec": {"parentRef": parent}}
            await client.create(IP_ADDRESS, {**obj, "metadata": {"name": name, "labels": {"type": kind}}})
        patch = {"metadata": {"annotations": {"patched": "true"}}}
        patched = await client.patch(IP_ADDRESS, "255.255.255.255", patch, patch_type=PatchType.MERGE)
        patched["metadata"]["annotations"]["updated"] = "true"
        assert (await client.update(IP_ADDRESS, patched))["metadata"]["annotations"]["updated"] == "true"
        await client.delete(IP_ADDRESS, "255.255.255.255")
        query = {"labelSelector": "type=link-local"}
        assert json.dumps(await client.request("DELETE", IP_ADDRESS.path(), query=query))
        assert (await client.request("GET", IP_ADDRESS.path(), query=query))["items"] == []

    run(tmp_path, test)


@pytest.mark.parametrize("uri", ["", "https://keys.example.com/jwks"])
def test_a_token_is_verified_by_what_the_issuer_publishes(tmp_path, uri):
    async def test(client):
        found = await client.request("GET", "/.well-known/openid-configuration")
        assert found["issuer"] == "https://kubernetes.default.svc.cluster.local"
        # The issuer may be a name that no verifier can look up: the keys are at the server's own address.
        assert found["jwks_uri"] == (uri or "https://192.0.2.1:0/openid/v1/jwks")
        assert found["response_types_supported"] == ["id_token"] and found["subject_types_supported"] == ["public"]
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"}}
        await client.create(SERVICE_ACCOUNT, account)
        asked = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"audiences": ["them"]}}
        path = f"{SERVICE_ACCOUNT.path('default')}/a/token"
        token = (await client.request("POST", path, body=asked))["status"]["token"]
        keys = await client.request("GET", "/openid/v1/jwks", headers={"Accept": "application/jwk-set+json"})
        published = jwt.PyJWKSet.from_dict(keys)
        key = published[jwt.get_unverified_header(token)["kid"]]
        algorithms = found["id_token_signing_alg_values_supported"]
        claims = jwt.decode(token, key, algorithms=algorithms, audience="them", issuer=found["issuer"])
        assert claims["sub"] == "system:serviceaccount:default:a"

    run(tmp_path, test, service_account_jwks_uri=uri)


def test_a_token_request_is_of_the_account_that_it_names(tmp_path):
    async def test(client):
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"}}
        uid = (await client.create(SERVICE_ACCOUNT, account))["metadata"]["uid"]
        asked = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"audiences": ["them"]}}
        path = f"{SERVICE_ACCOUNT.path('default')}/a/token"

        async def ask(**metadata):
            return (await client.request("POST", path, body={**asked, "metadata": metadata}))["metadata"]

        found = await ask(labels={"x": "y"})
        del found["creationTimestamp"]
        (entry,) = found.pop("managedFields")
        assert set(entry["fieldsV1"]["f:spec"]) == {"f:audiences", "f:expirationSeconds"}
        assert found == {"name": "a", "namespace": "default", "uid": uid, "labels": {"x": "y"}}
        assert (await ask(uid=uid))["uid"] == uid
        with pytest.raises(errors.Conflict) as refused:
            await ask(uid="other")
        why = f"the UID in the token request (other) does not match the UID of the service account ({uid})"
        whose = 'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "a"'
        assert refused.value.message == f"{whose}: {why}"
        with pytest.raises(errors.Invalid, match="must match the service account name"):
            await ask(name="b", uid="other")

    run(tmp_path, test)


def test_a_token_review_says_whose_a_token_is(tmp_path):
    async def test(client):
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"}}
        uid = (await client.create(SERVICE_ACCOUNT, account))["metadata"]["uid"]
        asked = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"audiences": []}}
        path = f"{SERVICE_ACCOUNT.path('default')}/a/token"
        given = await client.request("POST", path, body=asked)
        (entry,) = given["metadata"]["managedFields"]
        assert entry["fieldsV1"] == {"f:spec": {"f:expirationSeconds": {}}} and entry["subresource"] == "token"
        assert given["spec"]["boundObjectRef"] is None and given["metadata"]["uid"] == uid
        token = given["status"]["token"]

        async def answer(**spec):
            body = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
            return await client.request("POST", TOKEN_REVIEW.path(), body=body)

        async def review(**spec):
            return (await answer(**spec))["status"]

        found = await review(token=token)
        assert found["authenticated"] and found["user"]["username"] == "system:serviceaccount:default:a"
        assert found["user"]["uid"] == uid and "system:serviceaccounts:default" in found["user"]["groups"]
        (entry,) = (await answer(token=token))["metadata"]["managedFields"]
        assert entry["fieldsV1"] == {"f:spec": {"f:token": {}}} and "subresource" not in entry
        ours = "https://kubernetes.default.svc.cluster.local"
        why = f'token audiences ["{ours}"] is invalid for the target audiences ["a" "b"]'
        other = {"user": {}, "error": f"[invalid bearer token, {why}]"}
        assert await review(token=token, audiences=["a", "b"]) == other
        for bad in ("bad", "a.b.c"):
            assert await review(token=bad) == {"user": {}, "error": "invalid bearer token"}
        await client.delete(SERVICE_ACCOUNT, "a", "default")
        gone = '[invalid bearer token, serviceaccounts "a" not found]'
        assert (await review(token=token))["error"] == gone
        with pytest.raises(errors.BadRequest, match="token is required for TokenReview in authentication"):
            await review()

    run(tmp_path, test)
