"""What somebody may not do stays so, whatever way they try: through a whole server, as other users."""

from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from tests.controlplane.apiserver.server import run
from tests.controlplane.apiserver.test_signing_requests import pem

NODE = {"Impersonate-User": "system:node:n1", "Impersonate-Group": "system:nodes"}
EVE = {"Impersonate-User": "eve"}
RBAC, CERTIFICATES = "rbac.authorization.k8s.io", "certificates.k8s.io"


async def allow(client: Client, user: str, *rules: dict[str, Any]) -> None:
    metadata = {"name": user}
    await client.create(kinds.CLUSTER_ROLE, {"metadata": metadata, "rules": list(rules)})
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": user}
    subject = {"kind": "User", "name": user, "apiGroup": RBAC}
    binding = {"metadata": metadata, "roleRef": reference, "subjects": [subject]}
    await client.create(kinds.CLUSTER_ROLE_BINDING, binding)


def may(group: str, resources: str, verbs: str = "*") -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


async def post(client: Client, path: str, kind: kinds.Kind, obj: dict[str, Any], who: dict[str, str]) -> Any:
    body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    return await client.request("POST", path, body=body, headers=who)


def test_nobody_grants_more_than_they_hold(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        writes = may(RBAC, "roles rolebindings clusterroles clusterrolebindings", "get create update patch")
        await allow(client, "eve", writes, may("", "pods", "get"))
        path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
        role = {"metadata": {"name": "r"}, "rules": [may("", "pods", "get")]}
        await post(client, path, kinds.ROLE, role, EVE)
        for rules in ([may("", "secrets", "get")], [may("", "pods", "*")]):
            greedy = {"metadata": {"name": "s"}, "rules": rules}
            with pytest.raises(errors.Forbidden, match="is attempting to grant RBAC permissions not currently held"):
                await post(client, path, kinds.ROLE, greedy, EVE)
        reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "eve"}]}
        binding["subjects"][0]["apiGroup"] = RBAC  # type: ignore[index]
        path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        with pytest.raises(errors.Forbidden, match="not currently held"):
            await post(client, path, kinds.CLUSTER_ROLE_BINDING, binding, EVE)

    run(tmp_path, test)


def test_certificates_are_asked_for_and_approved_by_who_may(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await allow(client, "eve", may(CERTIFICATES, "certificatesigningrequests certificatesigningrequests/approval"))
        path = f"/apis/{CERTIFICATES}/v1/certificatesigningrequests"

        def asking(group: str) -> dict[str, Any]:
            spec = {
                "signerName": "kubernetes.io/kube-apiserver-client",
                "request": pem("eve", group),
                "usages": ["client auth"],
                "username": "somebody else",
            }
            return {"metadata": {"name": "c"}, "spec": spec}

        with pytest.raises(errors.Forbidden, match="with system:masters group is not allowed"):
            await post(client, path, kinds.CERTIFICATE_SIGNING_REQUEST, asking("system:masters"), EVE)
        made = await post(client, path, kinds.CERTIFICATE_SIGNING_REQUEST, asking("devs"), EVE)
        assert made["spec"]["username"] == "eve"
        condition = {"type": "Approved", "status": "True", "reason": "r"}
        body = {**made, "status": {"conditions": [condition]}}
        with pytest.raises(errors.Forbidden, match="user not permitted to approve requests with signerName"):
            await client.request("PUT", f"{path}/c/approval", body=body, headers=EVE)
        await client.request("PUT", f"{path}/c/approval", body=body)

    run(tmp_path, test)


def test_a_node_evicts_its_own_pods_alone(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        for name in ("n1", "n2"):
            await client.create(kinds.NODE, {"metadata": {"name": name}})
            spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": name}
            await client.create(kinds.POD, {"metadata": {"name": f"on-{name}"}, "spec": spec}, "default")

        async def evict(pod: str) -> Any:
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
            path = f"/api/v1/namespaces/default/pods/{pod}/eviction"
            return await client.request("POST", path, body=body, headers=NODE)

        with pytest.raises(errors.Forbidden, match="node n1 can only evict pods with spec.nodeName set to itself"):
            await evict("on-n2")
        await evict("on-n1")

    run(tmp_path, test)


DEVICES = "resource.k8s.io"
RESULT = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "g"}


def claim(**exactly: Any) -> dict[str, Any]:
    request = {"name": "r", "exactly": {"deviceClassName": "c", **exactly}}
    return {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}}


def test_administrators_access_to_devices_is_the_namespaces(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        admin = claim(adminAccess=True)
        template = {"metadata": {"name": "t"}, "spec": {"spec": admin["spec"]}}
        path = "spec.devices.requests[0].adminAccess"
        text = (
            "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing"
        )
        for kind, obj in ((kinds.RESOURCE_CLAIM, admin), (kinds.RESOURCE_CLAIM_TEMPLATE, template)):
            with pytest.raises(errors.Invalid) as refused:
                await client.create(kind, obj, "default")
            assert f"{path}: Forbidden: {text} namespace" in refused.value.message
        label = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
        await client.patch(kinds.NAMESPACE, "default", label)
        await client.create(kinds.RESOURCE_CLAIM, admin, "default")
        await client.create(kinds.RESOURCE_CLAIM_TEMPLATE, template, "default")

    run(tmp_path, test)


def test_the_parts_of_a_claims_status_are_changed_by_who_may(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.RESOURCE_CLAIM, claim(), "default")
        path = kinds.RESOURCE_CLAIM.path("default", "c", "status")
        field = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
        allocation = {
            "devices": {"results": [RESULT]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
        }
        device = {"driver": "d.example.com", "pool": "p", "device": "g", "data": {"a": 1}}

        async def put(who: dict[str, str], **status: Any) -> Any:
            newest = await client.get(kinds.RESOURCE_CLAIM, "c", "default")
            body = {**made, "metadata": newest["metadata"], "status": {**(newest.get("status") or {}), **status}}
            return await client.request("PUT", path, body=body, headers=who)

        await allow(client, "eve", may(DEVICES, "resourceclaims/status"))
        with pytest.raises(errors.Invalid) as refused:
            await put(EVE, allocation=allocation)
        assert (
            "status.allocation: Forbidden: changing status.allocation or status.reservedFor requires "
            'resource="resourceclaims/binding", verb="update" permission: resourceclaims.resource.k8s.io is forbidden: '
            'User "eve" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster '
            "scope"
        ) in refused.value.message
        await put({}, allocation=allocation)
        with pytest.raises(
            errors.Invalid, match=r'resourceclaims/driver", verb="\[arbitrary-node:update\]" permission'
        ):
            await put(EVE, devices=[device])
        node = {
            "Impersonate-User": "system:serviceaccount:kube-system:driver",
            "Impersonate-Extra-authentication.kubernetes.io%2Fnode-name": "n1",
        }
        account = "system:serviceaccount:kube-system:driver"
        driver = {**may(DEVICES, "resourceclaims/driver", "associated-node:update"), "resourceNames": ["d.example.com"]}
        await allow(client, account, may(DEVICES, "resourceclaims/status"), driver)
        assert (await put(node, devices=[device]))["status"]["devices"][0]["data"] == {"a": 1}
        elsewhere = {**node, "Impersonate-Extra-authentication.kubernetes.io%2Fnode-name": "n2"}
        with pytest.raises(errors.Invalid, match="arbitrary-node:update"):
            await put(elsewhere, devices=[{**device, "data": {"a": 2}}])
        # What is no longer allocated has no status.
        freed = await put({}, allocation=None)
        assert "devices" not in freed["status"] or not freed["status"]["devices"]

    run(tmp_path, test)
