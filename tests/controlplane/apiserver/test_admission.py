"""What built-in admission writes into objects, and what it refuses, through a whole server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client, PatchType
from controlplane.apiserver.admission.runtime_classes import merged
from tests.controlplane.apiserver.server import run


def claim(name: str = "c", **spec: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": name}, "spec": spec}


def test_storage_that_is_in_use_is_kept(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.PERSISTENT_VOLUME_CLAIM, claim(), "default")
        assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        assert made["status"] == {"phase": "Pending"}
        await client.delete(kinds.PERSISTENT_VOLUME_CLAIM, "c", "default")
        left = await client.get(kinds.PERSISTENT_VOLUME_CLAIM, "c", "default")
        assert left["metadata"]["deletionTimestamp"]

    run(tmp_path, test)


def test_a_claim_grows_when_its_class_lets_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for name, grows in (("fixed", False), ("elastic", True)):
            body = {"metadata": {"name": name}, "provisioner": "a.b/c", "allowVolumeExpansion": grows}
            await client.create(kinds.STORAGE_CLASS, body)
            await client.create(kinds.PERSISTENT_VOLUME_CLAIM, claim(name, storageClassName=name), "default")
            bound = {"status": {"phase": "Bound"}}
            await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, name, bound, "default", subresource="status")
        more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        grown = await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, "elastic", more, "default")
        assert grown["spec"]["resources"]["requests"]["storage"] == "2Gi"
        with pytest.raises(errors.Forbidden, match="must support resize"):
            await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, "fixed", more, "default")
        classless = {"volume.beta.kubernetes.io/storage-class": ""}
        made = claim("none", storageClassName="elastic")
        made["metadata"]["annotations"] = classless
        await client.create(kinds.PERSISTENT_VOLUME_CLAIM, made, "default")
        await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, "none", bound, "default", subresource="status")
        with pytest.raises(errors.Forbidden, match="must support resize"):
            await client.patch(kinds.PERSISTENT_VOLUME_CLAIM, "none", more, "default")

    run(tmp_path, test)


def test_a_new_node_takes_no_pods(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(kinds.NODE, {"metadata": {"name": "n"}})
        assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]

    run(tmp_path, test)


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def test_a_runtime_class_says_what_a_pod_costs_and_where_it_goes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        bears = {"key": "k", "operator": "Exists"}
        rules = {"nodeSelector": {"a": "b"}, "tolerations": [bears]}
        body = {
            "metadata": {"name": "r"},
            "handler": "h",
            "overhead": {"podFixed": {"cpu": "10m"}},
            "scheduling": rules,
        }
        await client.create(kinds.RUNTIME_CLASS, body)
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        made = await client.create(kinds.POD, pod("p", runtimeClassName="r", nodeSelector={"c": "d"}), "default")
        assert made["spec"]["overhead"] == {"cpu": "10m"}
        assert made["spec"]["nodeSelector"] == {"a": "b", "c": "d"}
        assert bears in made["spec"]["tolerations"]
        # What a class leaves open stays as the pod's author wrote it.
        await client.create(kinds.RUNTIME_CLASS, {"metadata": {"name": "bare"}, "handler": "h"})
        own = [{**bears, "effect": "NoSchedule"}, bears]
        for name, left in (("bare", own), ("r", [bears])):
            made = await client.create(kinds.POD, pod(f"p-{name}", runtimeClassName=name, tolerations=own), "default")
            assert [one for one in made["spec"]["tolerations"] if one["key"] == "k"] == left
        for spec, why in (
            ({"runtimeClassName": "nope"}, 'RuntimeClass "nope" not found'),
            ({"runtimeClassName": "r", "overhead": {"cpu": "20m"}}, "Overhead doesn't match"),
            ({"runtimeClassName": "r", "nodeSelector": {"a": "c"}}, "conflict: runtimeClass.scheduling.nodeSelector"),
            ({"overhead": {"cpu": "10m"}}, "Pod Overhead set without corresponding RuntimeClass"),
        ):
            with pytest.raises(errors.Forbidden, match=why):
                await client.create(kinds.POD, pod("q", **spec), "default")
        for name, told in (("", "resource name may not be empty"), ("a/b", "may not contain '/'")):
            with pytest.raises(errors.InternalError, match=told):
                await client.create(kinds.POD, pod("q", runtimeClassName=name), "default")
        with pytest.raises(errors.Forbidden, match="invalid resource name \"a/b\": .may not contain '/'"):
            await client.create(kinds.POD, pod("q", serviceAccountName="a/b"), "default")
        with pytest.raises(errors.Forbidden, match=r"the string value of PreemptionPolicy \(\) must not"):
            await client.create(kinds.POD, pod("q", preemptionPolicy=""), "default")

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("own", "more", "left"),
    [
        ("k=v", "k=v", "k=v"),
        ("k=v", "k", "k"),
        ("k", "k=v", "k"),
        ("k=v", "k=w", "k=v k=w"),
        ("k:NoExecute:5", "k:NoExecute:9", "k:NoExecute:9"),
        ("k:NoExecute", "k:NoExecute:9", "k:NoExecute"),
        ("k:NoSchedule l", "", "k:NoSchedule l"),
        ("k:NoSchedule l=v", "*", "*"),
    ],
)
def test_of_two_tolerations_the_wider_one_stays(own: str, more: str, left: str) -> None:
    """key=value:effect:seconds, or key alone for whatever value."""

    def read(texts: str) -> list[dict[str, Any]]:
        found = []
        for text in texts.split():
            name, _, rest = text.partition(":")
            key, equals, value = name.partition("=")
            effect, _, seconds = rest.partition(":")
            one = {"key": key.strip("*"), "operator": "Equal" if equals else "Exists", "value": value, "effect": effect}
            found.append({**one, "tolerationSeconds": int(seconds) if seconds else None})
        return found

    assert merged([*read(own), *read(more)]) == read(left)


def test_one_range_serves_one_family(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        def service(name: str, **spec: Any) -> dict[str, Any]:
            return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}

        headless = await client.create(kinds.SERVICE, service("h", clusterIP="None"), "default")
        assert headless["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
        chosen = await client.create(kinds.SERVICE, service("s", clusterIP="None", selector={"a": "b"}), "default")
        assert chosen["spec"]["ipFamilyPolicy"] == "SingleStack"
        with pytest.raises(errors.Invalid, match="not configured for dual-stack"):
            await client.create(kinds.SERVICE, service("d", ipFamilyPolicy="RequireDualStack"), "default")
        with pytest.raises(errors.Invalid, match="not configured on this cluster"):
            await client.create(kinds.SERVICE, service("v", ipFamilies=["IPv6"]), "default")

    run(tmp_path, test)


def test_an_account_may_keep_its_pods_to_its_own_secrets(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        metadata = {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
        account = {"metadata": metadata, "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]}
        await client.create(kinds.SERVICE_ACCOUNT, account, "default")

        def using(name: str) -> dict[str, Any]:
            return {"serviceAccountName": "a", "volumes": [{"name": "v", "secret": {"secretName": name}}]}

        await client.create(kinds.POD, pod("p", **using("own")), "default")
        with pytest.raises(errors.Forbidden, match="service account a does not reference that secret"):
            await client.create(kinds.POD, pod("q", **using("other")), "default")
        pulls = {"serviceAccountName": "a", "imagePullSecrets": [{"name": "other"}]}
        with pytest.raises(errors.Forbidden, match="does not reference that imagePullSecret"):
            await client.create(kinds.POD, pod("q", **pulls), "default")
        variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}
        containers = [{"name": "c", "image": "i", "env": [variable]}]
        with pytest.raises(errors.Forbidden, match="container c with envVar A referencing"):
            await client.create(kinds.POD, pod("q", serviceAccountName="a", containers=containers), "default")

    run(tmp_path, test)


def test_there_is_one_default_priority(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        def of(name: str, **fields: Any) -> dict[str, Any]:
            return {"metadata": {"name": name}, "value": 7, **fields}

        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        await client.create(kinds.PRIORITY_CLASS, of("a", globalDefault=True, preemptionPolicy="Never"))
        with pytest.raises(errors.Forbidden, match="PriorityClass a is already marked as default. Only one"):
            await client.create(kinds.PRIORITY_CLASS, of("b", globalDefault=True))
        await client.patch(kinds.PRIORITY_CLASS, "a", {"metadata": {"labels": {"x": "y"}}})
        made = await client.create(kinds.POD, pod("p"), "default")
        wanted = {"priorityClassName": "a", "priority": 7, "preemptionPolicy": "Never"}
        assert {key: made["spec"][key] for key in wanted} == wanted
        with pytest.raises(errors.Forbidden, match=r"the integer value of priority \(8\) must not be provided"):
            await client.create(kinds.POD, pod("q", priority=8), "default")
        with pytest.raises(errors.Forbidden, match="no PriorityClass with name nope was found"):
            await client.create(kinds.POD, pod("q", priorityClassName="nope"), "default")

    run(tmp_path, test)


def test_what_names_no_class_gets_the_newest_default(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        def of(name: str, group: str, **fields: Any) -> dict[str, Any]:
            return {"metadata": {"name": name, "annotations": {f"{group}/is-default-class": "true"}}, **fields}

        plain = await client.create(kinds.PERSISTENT_VOLUME_CLAIM, claim("before"), "default")
        assert "storageClassName" not in plain["spec"]
        for name in ("b", "a"):
            body = of(name, "storageclass.kubernetes.io", provisioner="a.b/c")
            await client.create(kinds.STORAGE_CLASS, body)
            controller = {"controller": "a.b/c"}
            await client.create(kinds.INGRESS_CLASS, of(name, "ingressclass.kubernetes.io", spec=controller))
        # The newest, and of those of one second the first by name.
        made = await client.create(kinds.PERSISTENT_VOLUME_CLAIM, claim("c"), "default")
        assert made["spec"]["storageClassName"] == "a"
        none = await client.create(kinds.PERSISTENT_VOLUME_CLAIM, claim("d", storageClassName=""), "default")
        assert none["spec"]["storageClassName"] == ""
        backend = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
        ingress = await client.create(kinds.INGRESS, {"metadata": {"name": "i"}, "spec": backend}, "default")
        assert ingress["spec"]["ingressClassName"] == "a"

    run(tmp_path, test)


def test_a_pod_learns_the_zone_of_its_node(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        await client.create(kinds.NODE, {"metadata": {"name": "n", "labels": {zone: "z", region: "r", "a": "b"}}})
        await client.create(kinds.POD, pod("p"), "default")
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}}
        body = {**binding, "target": {"kind": "Node", "name": "n"}}
        await client.request("POST", "/api/v1/namespaces/default/pods/p/binding", body=body)
        bound = await client.get(kinds.POD, "p", "default")
        assert bound["metadata"]["labels"] == {zone: "z", region: "r"}
        placed = await client.create(kinds.POD, pod("q", nodeName="n"), "default")
        assert placed["metadata"]["labels"] == {zone: "z", region: "r"}

    run(tmp_path, test)


def test_no_way_around_the_secrets_of_an_account(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        metadata = {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "T"}}
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": metadata}, "default")
        whole = [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "other"}}]}]
        with pytest.raises(errors.Forbidden, match='container c with envFrom referencing secret.secretName="other"'):
            await client.create(kinds.POD, pod("p", serviceAccountName="a", containers=whole), "default")
        await client.create(kinds.POD, pod("p", serviceAccountName="a"), "default")
        debug = {"spec": {"ephemeralContainers": [{**whole[0], "name": "e"}]}}
        with pytest.raises(errors.ApiError, match="^ephemeral container e with envFrom referencing") as refused:
            await client.patch(kinds.POD, "p", debug, "default", subresource="ephemeralcontainers")
        assert (refused.value.code, refused.value.reason) == (500, "")

        def mirror(**spec: Any) -> dict[str, Any]:
            made = pod("m", nodeName="n", **spec)
            return {**made, "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}}

        token = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
        for spec, why in (
            ({"serviceAccountName": "a"}, "a mirror pod may not reference service accounts"),
            ({"volumes": [{"name": "v", "secret": {"secretName": "other"}}]}, "a mirror pod may not reference secrets"),
            ({"imagePullSecrets": [{"name": "other"}]}, "a mirror pod may not reference secrets"),
            ({"volumes": [token]}, "a mirror pod may not use ServiceAccountToken volume projections"),
        ):
            with pytest.raises(errors.Forbidden, match=why):
                await client.create(kinds.POD, mirror(**spec), "default")

    run(tmp_path, test)


def test_a_pod_waits_for_its_namespace_s_default_account(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.NAMESPACE, {"metadata": {"name": "n"}})
        early = asyncio.ensure_future(client.create(kinds.POD, pod("p"), "n"))
        await client.get(kinds.NAMESPACE, "n")
        assert not early.done()
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "n")
        assert (await early)["spec"]["serviceAccountName"] == "default"
        with pytest.raises(errors.Forbidden, match='serviceaccount "other" not found'):
            await client.create(kinds.POD, pod("q", serviceAccountName="other"), "n")

    run(tmp_path, test)


def test_a_pod_that_brings_its_token_s_volume_gets_no_second(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        volume = {"name": "kube-api-access-own", "emptyDir": {}}
        made = (await client.create(kinds.POD, pod("p", volumes=[volume]), "default"))["spec"]
        assert [one["name"] for one in made["volumes"]] == ["kube-api-access-own"]
        assert [one["name"] for one in made["containers"][0]["volumeMounts"]] == ["kube-api-access-own"]

    run(tmp_path, test)


def test_a_pod_changes_only_as_its_node_can_follow(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        resources = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
        made = pod("p", nodeName="n", resources=resources)
        made["spec"]["initContainers"] = [{"name": "i", "image": "i", "resources": {"requests": {"cpu": "1"}}}]
        await client.create(kinds.NODE, {"metadata": {"name": "n"}})
        status: dict[str, Any] = {"allocatable": {"cpu": "9", "memory": "1Gi"}}
        await client.patch(kinds.NODE, "n", {"status": status}, subresource="status")
        await client.create(kinds.POD, made, "default")

        async def change(**spec: Any) -> None:
            wanted = {"spec": spec}
            await client.patch(kinds.POD, "p", wanted, "default", subresource="resize", patch_type=PatchType.STRATEGIC)

        of_init = {"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "500m"}}}]}
        of_pod = {"resources": {"requests": {"cpu": "1500m"}}}
        features = ("InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers")
        for spec, names in ((of_pod, features[:1]), (of_init, features[1:]), ({**of_pod, **of_init}, features)):
            text = f'pod update requires features {", ".join(names)} which are not available on node "n"'
            with pytest.raises(errors.Forbidden, match=text):
                await change(**spec)
        status["declaredFeatures"] = [*features]
        await client.patch(kinds.NODE, "n", {"status": status}, subresource="status")
        await change(**of_pod, **of_init)

    run(tmp_path, test)


def test_nothing_new_comes_into_a_namespace_that_goes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.NAMESPACE, {"metadata": {"name": "n", "finalizers": ["a.b/c"]}})
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "n")
        await client.create(kinds.POD, pod("p"), "n")
        await client.delete(kinds.NAMESPACE, "n")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
        for work in (
            client.create(kinds.CONFIG_MAP, {"metadata": {"name": "m"}}, "n"),
            client.request("POST", "/api/v1/namespaces/n/pods/p/eviction", body=eviction),
        ):
            with pytest.raises(errors.Forbidden, match="because it is being terminated") as refusal:
                await work
            assert refusal.value.details and refusal.value.details["causes"][0]["reason"] == "NamespaceTerminating"
        await client.patch(kinds.POD, "p", {"metadata": {"labels": {"a": "b"}}}, "n")
        for name in ("default", "kube-system", "kube-public"):
            with pytest.raises(errors.Forbidden, match="this namespace may not be deleted"):
                await client.delete(kinds.NAMESPACE, name)

    run(tmp_path, test)


def test_a_pod_grows_no_larger_than_its_node(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        made = pod("p", nodeName="n")
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
        await client.create(kinds.POD, made, "default")

        async def grow(**requests: str) -> None:
            wanted = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}
            await client.patch(kinds.POD, "p", wanted, "default", subresource="resize", patch_type=PatchType.STRATEGIC)

        with pytest.raises(errors.Forbidden, match='pods "p" is forbidden: node "n" not found'):
            await grow(cpu="2")
        await client.create(kinds.NODE, {"metadata": {"name": "n"}})
        status = {"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}
        await client.patch(kinds.NODE, "n", status, subresource="status")
        await grow(cpu="2")
        with pytest.raises(errors.Forbidden, match="resources: cpu, requested: 2500, allocatable: 2000") as refusal:
            await grow(cpu="2500m")
        assert refusal.value.details and refusal.value.details["causes"] == [{"reason": "NodeCapacity"}]
        await client.patch(kinds.NODE, "n", {"metadata": {"labels": {"kubernetes.io/os": "windows"}}})
        with pytest.raises(errors.Forbidden, match='only supported on linux nodes, node "n" is "windows"'):
            await grow(cpu="1500m")

    run(tmp_path, test)
