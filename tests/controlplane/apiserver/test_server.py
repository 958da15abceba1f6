"""The API over HTTPS: the life of objects, reads, watches, and what refuses."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client, PatchType
from apimachinery.kinds import Kind
from tests.controlplane.apiserver.server import run

Obj = dict[str, Any]
LIMIT = aiohttp.ClientTimeout(total=60)


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def pod(name: str, **spec: Any) -> Obj:
    container = {"name": "c", "image": "busybox:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], **spec},
    }


def service(name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}], **spec},
    }


async def account(client: Client) -> None:
    await client.create(
        kinds.SERVICE_ACCOUNT,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}},
    )


def test_create_get_update_delete(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.CONFIG_MAP, config_map("m", a="1"))
        assert made["metadata"]["uid"] and made["metadata"]["creationTimestamp"]
        assert await client.get(kinds.CONFIG_MAP, "m", "default") == made
        made["data"]["a"] = "2"
        changed = await client.update(kinds.CONFIG_MAP, made)
        assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        with pytest.raises(errors.Conflict, match="the object has been modified"):
            await client.update(kinds.CONFIG_MAP, {**made, "data": {"a": "3"}})
        with pytest.raises(errors.AlreadyExists, match='configmaps "m" already exists'):
            await client.create(kinds.CONFIG_MAP, config_map("m"))
        of_another = service("s")
        await client.create(kinds.SERVICE, of_another)
        of_another["metadata"]["uid"] = "u"
        with pytest.raises(errors.Conflict, match="Key: /registry/services/specs/default/s, .* UID in precondition: u"):
            await client.update(kinds.SERVICE, of_another)
        await client.delete(kinds.CONFIG_MAP, "m", "default")
        with pytest.raises(errors.NotFound, match='configmaps "m" not found'):
            await client.get(kinds.CONFIG_MAP, "m", "default")

    run(tmp_path, test)


def test_an_update_without_changes_writes_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.CONFIG_MAP, config_map("m", a="1"))
        assert await client.update(kinds.CONFIG_MAP, made) == made

    run(tmp_path, test)


def test_state_survives_a_restart_and_so_do_watches(tmp_path: Path) -> None:
    seen: list[Obj] = []

    async def before(client: Client) -> None:
        seen.append(await client.create(kinds.CONFIG_MAP, config_map("m", a="1")))
        made = await client.create(kinds.SERVICE, service("s"))
        seen.append(made)
        await client.create(kinds.CONFIG_MAP, config_map("n"))

    async def after(client: Client) -> None:
        assert await client.get(kinds.CONFIG_MAP, "m", "default") == seen[0]
        revision = seen[0]["metadata"]["resourceVersion"]
        async for kind, obj in client.watch(kinds.CONFIG_MAP, "default", resource_version=revision):
            assert (kind, obj["metadata"]["name"]) == ("ADDED", "n")
            break
        with pytest.raises(errors.Invalid, match="provided IP is already allocated"):
            await client.create(kinds.SERVICE, service("t", clusterIP=seen[1]["spec"]["clusterIP"]))

    run(tmp_path, before)
    run(tmp_path, after)


def test_lists_page_over_one_moment(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for name in "abcde":
            await client.create(kinds.CONFIG_MAP, config_map(name))
        path = kinds.CONFIG_MAP.path("default")
        first = await client.request("GET", path, query={"limit": "2"})
        assert first["metadata"]["remainingItemCount"] == 3
        await client.delete(kinds.CONFIG_MAP, "c", "default")
        await client.create(kinds.CONFIG_MAP, config_map("cc"))
        token = first["metadata"]["continue"]
        rest = await client.request("GET", path, query={"continue": token})
        assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d", "e"]
        assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        now = await client.list(kinds.CONFIG_MAP, "default")
        assert [item["metadata"]["name"] for item in now["items"]] == ["a", "b", "cc", "d", "e"]

    run(tmp_path, test)


def test_a_revision_from_the_future_times_out(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        with pytest.raises(errors.Timeout, match="Too large resource version: 999999"):
            await client.list(kinds.CONFIG_MAP, "default", resource_version="999999")

    run(tmp_path, test)


def test_a_watch_sees_objects_enter_and_leave_its_selector(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.CONFIG_MAP, config_map("m"))
        revision = made["metadata"]["resourceVersion"]
        for value in ("x", "x", "y"):
            patch = {"metadata": {"labels": {"a": value}}, "data": {"n": value + revision}}
            if value == "x":
                patch["data"]["again"] = str(id(patch))
            await client.patch(kinds.CONFIG_MAP, "m", patch, "default", patch_type=PatchType.MERGE)
        seen = []
        async for kind, obj in client.watch(
            kinds.CONFIG_MAP, "default", resource_version=revision, label_selector="a=x"
        ):
            seen.append((kind, obj["metadata"]["labels"]["a"]))
            if kind == "DELETED":
                break
        assert seen[0] == ("ADDED", "x")
        assert seen[-1] == ("DELETED", "x"), "what leaves is shown as it was last seen"

    run(tmp_path, test)


def test_a_watch_of_one_node_gets_that_nodes_pods(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await account(client)
        start = await client.list(kinds.POD, "default")
        for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
            await client.create(kinds.POD, pod(name, nodeName=node))
        seen = []
        async for kind, obj in client.watch(
            kinds.POD,
            None,
            resource_version=start["metadata"]["resourceVersion"],
            field_selector="spec.nodeName=n1",
        ):
            seen.append((kind, obj["metadata"]["name"]))
            if len(seen) == 2:
                break
        assert seen == [("ADDED", "a"), ("ADDED", "c")]
        listed = await client.list(kinds.POD, field_selector="spec.nodeName=n1")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "c"]

    run(tmp_path, test)


def test_pods_get_what_nobody_wrote(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        with pytest.raises(errors.Forbidden, match='serviceaccount "default" not found'):
            await client.create(kinds.POD, pod("early"))
        await account(client)
        made = await client.create(kinds.POD, pod("p"))
        spec = made["spec"]
        assert spec["serviceAccountName"] == "default" and spec["priority"] == 0
        assert spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3607
        assert {t["key"] for t in spec["tolerations"]} == {
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        }
        assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
        assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"

    run(tmp_path, test)


def test_an_amount_written_otherwise_is_no_change(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"}}
        await client.create(kinds.PERSISTENT_VOLUME_CLAIM, {**claim, "spec": wanted})
        patch = {"spec": {"resources": {"requests": {"storage": "1073741824"}}}}
        changed = await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, "c", patch, "default")
        assert changed["spec"]["resources"]["requests"]["storage"] == "1073741824"
        patch["spec"]["resources"]["requests"]["storage"] = "1073741825"
        with pytest.raises(errors.Invalid, match="spec is immutable after creation"):
            await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, "c", patch, "default")
        container = {"name": "c", "image": "busybox:1", "resources": {"requests": {"memory": "1Gi"}}}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default"}}
        await client.create(kinds.DEPLOYMENT, {**made, "spec": spec})
        container["resources"] = {"requests": {"memory": "1073741824"}}
        again = await client.patch(kinds.DEPLOYMENT, "d", {"spec": {"template": template}}, "default")
        assert again["metadata"]["generation"] == 1

    run(tmp_path, test)


def test_a_bound_pod_is_deleted_in_two_steps(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await account(client)
        await client.create(kinds.POD, pod("bound", nodeName="n1"))
        await client.create(kinds.POD, pod("free"))
        await client.delete(kinds.POD, "free", "default")
        with pytest.raises(errors.NotFound):
            await client.get(kinds.POD, "free", "default")
        await client.delete(kinds.POD, "bound", "default")
        dying = await client.get(kinds.POD, "bound", "default")
        assert dying["metadata"]["deletionGracePeriodSeconds"] == 30
        assert dying["metadata"]["generation"] == 2
        await client.delete(kinds.POD, "bound", "default", grace_period=0)
        with pytest.raises(errors.NotFound):
            await client.get(kinds.POD, "bound", "default")

    run(tmp_path, test)


def test_finalizers_keep_an_object_until_the_last_is_gone(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        held = config_map("m")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(kinds.CONFIG_MAP, held)
        await client.delete(kinds.CONFIG_MAP, "m", "default")
        assert (await client.get(kinds.CONFIG_MAP, "m", "default"))["metadata"]["deletionTimestamp"]
        await client.patch(kinds.CONFIG_MAP, "m", {"metadata": {"finalizers": None}}, "default")
        with pytest.raises(errors.NotFound):
            await client.get(kinds.CONFIG_MAP, "m", "default")

    run(tmp_path, test)


def test_a_terminating_namespace_takes_nothing_new(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}})
        await client.delete(kinds.NAMESPACE, "going")
        with pytest.raises(errors.Forbidden, match="because it is being terminated"):
            await client.request("POST", kinds.CONFIG_MAP.path("going"), body={"metadata": {"name": "m"}})
        standing = await client.get(kinds.NAMESPACE, "going")
        assert standing["status"]["phase"] == "Terminating"
        standing["spec"]["finalizers"] = []
        await client.update(kinds.NAMESPACE, standing, subresource="finalize")
        with pytest.raises(errors.NotFound):
            await client.get(kinds.NAMESPACE, "going")
        with pytest.raises(errors.Forbidden, match="this namespace may not be deleted"):
            await client.delete(kinds.NAMESPACE, "default")

    run(tmp_path, test)


def test_service_addresses_and_ports_are_unique_under_concurrency(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await asyncio.gather(
            *(client.create(kinds.SERVICE, service(f"s{n}", type="NodePort")) for n in range(60))
        )
        assert len({s["spec"]["clusterIP"] for s in made}) == 60
        assert len({s["spec"]["ports"][0]["nodePort"] for s in made}) == 60
        with pytest.raises(errors.Invalid, match="not in the valid range"):
            await client.create(kinds.SERVICE, service("odd", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))
        address = made[0]["spec"]["clusterIP"]
        await client.delete(kinds.SERVICE, "s0", "default")
        again = await client.create(kinds.SERVICE, service("again", clusterIP=address))
        assert again["spec"]["clusterIP"] == address

    run(tmp_path, test)


def test_a_dry_run_holds_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = kinds.SERVICE.path("default")
        wanted = service("s", clusterIP="10.97.0.77")
        shown = await client.request("POST", path, query={"dryRun": "All"}, body=wanted)
        assert shown["spec"]["clusterIP"] == "10.97.0.77"
        with pytest.raises(errors.NotFound):
            await client.get(kinds.SERVICE, "s", "default")
        wanted["metadata"]["resourceVersion"] = "7"
        shown = await client.request("POST", path, query={"dryRun": "All"}, body=wanted)
        assert shown["metadata"]["resourceVersion"] == "7"
        made = await client.create(kinds.SERVICE, service("t", clusterIP="10.97.0.77"))
        assert made["spec"]["clusterIP"] == "10.97.0.77"
        # What is taken by now is no matter to a trial, nor is a version of more digits than a number has.
        wanted["metadata"]["resourceVersion"] = "9" * 5000
        shown = await client.request("POST", path, query={"dryRun": "All"}, body=wanted)
        assert shown["spec"]["clusterIP"] == "10.97.0.77"
        with pytest.raises(errors.Invalid, match="already allocated"):
            await client.create(kinds.SERVICE, service("s", clusterIP="10.97.0.77"))

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "c"}]}, r"spec.containers\[0\].image: Required value"),
        ({"restartPolicy": "Sometimes"}, "spec.restartPolicy: Unsupported value"),
        ({"nodeName": "Bad_"}, "spec.nodeName: Invalid value"),
    ],
)
def test_wrong_pods_are_refused_by_field(tmp_path: Path, change: Obj, text: str) -> None:
    async def test(client: Client) -> None:
        await account(client)
        with pytest.raises(errors.Invalid, match=text):
            await client.create(kinds.POD, pod("p", **change))

    run(tmp_path, test)


def test_strict_field_validation_names_unknown_fields(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = kinds.CONFIG_MAP.path("default")
        body = {**config_map("m"), "nope": 1}
        with pytest.raises(errors.BadRequest, match='strict decoding error: unknown field "nope"'):
            await client.request("POST", path, query={"fieldValidation": "Strict"}, body=body)
        assert "nope" not in await client.request("POST", path, body=body)

    run(tmp_path, test)


def test_health_and_version(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        version = await client.request("GET", "/version")
        assert (version["major"], version["minor"]) == ("1", "36")

    run(tmp_path, test)


def test_a_node_brings_its_status_and_keeps_it_from_those_who_write_its_specification(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        status = {"capacity": {"cpu": "4"}, "config": {"error": "e"}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": status}
        made = await client.create(kinds.NODE, node)
        assert made["status"]["capacity"] == {"cpu": "4"}
        assert made["status"]["nodeInfo"]["machineID"] == ""
        assert "config" not in made["status"]
        made["status"] = {"capacity": {"cpu": "8"}}
        made["spec"]["unschedulable"] = True
        changed = await client.update(kinds.NODE, made)
        assert changed["spec"]["unschedulable"]
        assert changed["status"]["capacity"] == {"cpu": "4"}
        bare = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bare"}}
        assert (await client.create(kinds.NODE, bare))["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}

    run(tmp_path, test)


def test_changes_of_some_kinds_must_say_what_they_change(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "l", "namespace": "default"},
        }
        made = await client.create(kinds.LEASE, lease)
        with pytest.raises(errors.Invalid) as refused:
            await client.update(kinds.LEASE, {**lease, "spec": {"holderIdentity": "x"}})
        assert refused.value.message == (
            'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified '
            "for an update"
        )
        await client.update(kinds.LEASE, {**made, "spec": {"holderIdentity": "x"}})
        merge = {"spec": {"holderIdentity": "y"}}
        await client.patch(kinds.LEASE, "l", merge, "default", patch_type=PatchType.MERGE)

    run(tmp_path, test)


def test_what_is_not_gone_yet_is_accepted_from_who_asks_in_the_old_way(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        held = config_map("m")
        held["metadata"]["finalizers"] = ["a.b/c"]
        await client.create(kinds.CONFIG_MAP, held)
        path = "/api/v1/namespaces/default/configmaps/m"
        for options, code in ((b'{"orphanDependents": false}', 202), (b"{}", 200)):
            async with client._exchange(
                "DELETE", path, {}, options, {"Content-Type": "application/json"}, LIMIT
            ) as found:
                assert found.status == code

    run(tmp_path, test)


def test_duplicate_owners_are_told_of(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
        owned = config_map("m")
        owned["metadata"]["ownerReferences"] = [owner, owner]
        made = await client.create(kinds.CONFIG_MAP, owned)
        assert made["metadata"]["ownerReferences"] == [owner]

    run(tmp_path, test)


def test_the_metadata_of_a_change_is_looked_at_as_the_kind_has_it(tmp_path: Path) -> None:
    async def told(client: Client, kind: Kind, status: bool = False) -> tuple[int, int]:
        """How often upstream tells of a bad label and of a bad finalizer."""
        bad = {"metadata": {"labels": {"a": "not valid!"}, "finalizers": ["bare"]}}
        with pytest.raises(errors.Invalid) as refused:
            await client.patch(kind, "m", bad, "default", patch_type=PatchType.MERGE, subresource="status" * status)
        causes = refused.value.status()["details"]["causes"]
        fields = [cause["field"] for cause in causes]
        return fields.count("metadata.labels"), fields.count("metadata.finalizers[0]")

    async def test(client: Client) -> None:
        await client.create(kinds.CONFIG_MAP, config_map("m"))
        assert await told(client, kinds.CONFIG_MAP) == (4, 2)
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "m", "namespace": "default"},
        }
        await client.create(kinds.POD_DISRUPTION_BUDGET, budget)
        assert await told(client, kinds.POD_DISRUPTION_BUDGET) == (2, 0)
        assert await told(client, kinds.POD_DISRUPTION_BUDGET, status=True) == (2, 0)

    run(tmp_path, test)


def test_a_review_may_know_nothing_more_of_its_subject(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        spec = {"user": "u", "extra": {"a": None}, "nonResourceAttributes": {"path": "/x", "verb": "get"}}
        found = await client.request("POST", path, body={"spec": spec})
        assert found["status"]["allowed"] is False and found["spec"]["extra"] == {"a": None}

    run(tmp_path, test)
