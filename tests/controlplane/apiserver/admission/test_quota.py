"""Resource quotas: what counts, what is covered, and that no more is stored than is allowed."""

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from apimachinery.kinds import Kind
from apimachinery.pods.totals import parsed
from apimachinery.timestamps import format_time
from controlplane.apiserver.admission.plugin import Needs
from controlplane.apiserver.admission.quota import coverage, devices, ledger, plugin, usage
from controlplane.apiserver.admission.quota.account import Account
from controlplane.apiserver.admission.quota.plugin import Statuses
from tests.controlplane.apiserver.server import DEADLINE, run, serving
from tests.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def pod(name: str = "p", requests: Any = None, limits: Any = None, **spec: Any) -> dict[str, Any]:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    container = {"name": "c", "image": "i", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def counted(kind: Kind, obj: dict[str, Any]) -> dict[str, str]:
    return {name: str(amount) for name, amount in usage.of(kind, obj, NOW).items()}


def test_what_a_pod_counts() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
    made = pod(requests={"cpu": "500m", "hugepages-2Mi": "4Mi", "a.b/gpu": "1"}, limits={"memory": "1Gi"})
    made["spec"] |= {"initContainers": [sidecar], "overhead": {"cpu": "250m", "memory": "1Mi"}}
    assert counted(kinds.POD, made) == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "1750m",
        "requests.cpu": "1750m",
        "memory": "1025Mi",
        "requests.memory": "1025Mi",
        "hugepages-2Mi": "4Mi",
        "requests.hugepages-2Mi": "4Mi",
        "requests.a.b/gpu": "1",
        "limits.memory": "1025Mi",
    }
    assert counted(kinds.POD, {**made, "status": {"phase": "Succeeded"}}) == {"count/pods": "1"}
    gone = {"deletionTimestamp": format_time(NOW - timedelta(seconds=31)), "deletionGracePeriodSeconds": 30}
    assert counted(kinds.POD, {**made, "metadata": gone}) == {"count/pods": "1"}
    gone["deletionTimestamp"] = format_time(NOW)
    assert counted(kinds.POD, {**made, "metadata": gone})["pods"] == "1"


@pytest.mark.parametrize(
    ("resources", "allocated", "conditions", "cpu", "limit"),
    [
        (None, {"cpu": "3"}, [], "2", "4"),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}, {"cpu": "1"}, [], "2", "4"),
        ({"requests": {"cpu": "3"}, "limits": {"cpu": "6"}}, {"cpu": "3"}, [], "3", "6"),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}, {"cpu": "3"}, [], "3", "4"),
        (
            {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
            {"cpu": "1"},
            [{"type": "PodResizePending", "reason": "Infeasible"}],
            "1",
            "2",
        ),
    ],
)
def test_what_a_pod_counts_that_is_resized(
    resources: Any, allocated: Any, conditions: list[Any], cpu: str, limit: str
) -> None:
    made = pod(requests={"cpu": "2"}, limits={"cpu": "4"})
    told = {"name": "c", "allocatedResources": allocated, **({"resources": resources} if resources else {})}
    made["status"] = {"containerStatuses": [told], "conditions": conditions}
    found = counted(kinds.POD, made)
    assert (found["requests.cpu"], found["limits.cpu"]) == (cpu, limit)


def test_what_services_and_claims_count() -> None:
    ports = [{"port": 1}, {"port": 2, "nodePort": 30001}]

    def service(**spec: Any) -> dict[str, str]:
        found = counted(kinds.SERVICE, {"spec": {"ports": ports, **spec}})
        assert found["services"] == found["count/services"] == "1"
        return {key: found[f"services.{key}"] for key in ("nodeports", "loadbalancers")}

    assert service(type="ClusterIP") == {"nodeports": "0", "loadbalancers": "0"}
    assert service(type="NodePort") == {"nodeports": "2", "loadbalancers": "0"}
    assert service(type="LoadBalancer") == {"nodeports": "2", "loadbalancers": "1"}
    without = service(type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert without == {"nodeports": "1", "loadbalancers": "1"}
    claim: dict[str, Any] = {"metadata": {}, "spec": {"storageClassName": "gold"}}
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    assert counted(kinds.PERSISTENT_VOLUME_CLAIM, claim) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
    }
    claim["spec"]["resources"] = {"requests": {"storage": "1500m"}}
    assert counted(kinds.PERSISTENT_VOLUME_CLAIM, claim)["requests.storage"] == "2"
    # An annotation of old says more than the field, also where it says that there is no class.
    claim["metadata"]["annotations"] = {"volume.beta.kubernetes.io/storage-class": ""}
    assert not [name for name in counted(kinds.PERSISTENT_VOLUME_CLAIM, claim) if name.startswith("gold")]
    assert counted(kinds.DEPLOYMENT, {"metadata": {}}) == {"count/deployments.apps": "1"}
    assert counted(kinds.SECRET, {"metadata": {}}) == {"count/secrets": "1", "secrets": "1"}


IMPLICIT = "requests.deviceclass.resource.kubernetes.io"
NO_PODS = devices.NOTHING_KNOWN.pod_of


def asked(name: str, mode: str = "ExactCount", count: int = 1) -> dict[str, Any]:
    return {"deviceClassName": name, "allocationMode": mode, "count": count}


def device_claim(name: str, *requests: dict[str, Any], pod: str = "", born: str = "") -> dict[str, Any]:
    """pod: it says that it was made for the devices that a pod asked for as a resource."""
    metadata: dict[str, Any] = {"name": name, "namespace": "n", "creationTimestamp": born or None}
    if pod:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": f"uid of {pod}", "controller": True}
        annotations = {"resource.kubernetes.io/extended-resource-claim": "true"}
        metadata |= {"ownerReferences": [owner], "annotations": annotations}
    return {"metadata": metadata, "spec": {"devices": {"requests": list(requests)}}}


def test_what_a_resource_claim_counts() -> None:
    claim = device_claim(
        "c",
        {"exactly": asked("gpu", count=2)},
        {"firstAvailable": [asked("gpu", count=3), asked("gpu"), asked("nic", "All")]},
        {"exactly": asked("nic", "other")},
    )
    wanted = {
        "count/resourceclaims.resource.k8s.io": "1",
        "gpu.deviceclass.resource.k8s.io/devices": "5",
        "nic.deviceclass.resource.k8s.io/devices": "32",
        f"{IMPLICIT}/gpu": "5",
        f"{IMPLICIT}/nic": "32",
    }
    assert counted(kinds.RESOURCE_CLAIM, claim) == wanted
    known = devices.Devices({"gpu": "a.b/gpu", "nic": ""}, NO_PODS)
    found = usage.of(kinds.RESOURCE_CLAIM, claim, NOW, known)
    assert {name: str(amount) for name, amount in found.items()} == {**wanted, "requests.a.b/gpu": "5"}


def test_claims_count_against_a_resource_while_a_class_has_its_name() -> None:
    limited = {"gpu.deviceclass.resource.k8s.io/devices", "pods", f"{IMPLICIT}/gpu", "requests.a.b/gpu", "a.b/gpu"}
    by_class = {"gpu.deviceclass.resource.k8s.io/devices"}
    assert usage.names(kinds.RESOURCE_CLAIM, limited) == by_class
    known = devices.Devices({"gpu": ""}, NO_PODS)
    assert usage.names(kinds.RESOURCE_CLAIM, limited, known) == by_class | {f"{IMPLICIT}/gpu"}
    known = devices.Devices({"other": "a.b/gpu"}, NO_PODS)
    assert usage.names(kinds.RESOURCE_CLAIM, limited, known) == by_class | {"requests.a.b/gpu"}
    assert usage.names(kinds.POD, limited, known) == {"pods", f"{IMPLICIT}/gpu", "requests.a.b/gpu"}
    assert usage.asks_devices(limited) and not usage.asks_devices(by_class | {"pods", "requests.cpu"})


def test_a_claim_made_for_a_pod_counts_what_the_pod_does_not() -> None:
    asker = pod(requests={"a.b/gpu": "3"})
    claim = device_claim("c", {"exactly": asked("gpu", count=4)}, pod="p")
    found = usage.of(kinds.RESOURCE_CLAIM, claim, NOW, devices.Devices({"gpu": "a.b/gpu"}, lambda _: asker))
    assert (str(found["requests.a.b/gpu"]), str(found[f"{IMPLICIT}/gpu"])) == ("1", "4")
    asker["spec"]["containers"][0]["resources"]["requests"]["a.b/gpu"] = "4"
    found = usage.of(kinds.RESOURCE_CLAIM, claim, NOW, devices.Devices({"gpu": "a.b/gpu"}, lambda _: asker))
    assert "requests.a.b/gpu" not in found


@pytest.mark.parametrize(
    ("status", "rivals", "made"),
    [
        ({}, [], True),
        ({"extendedResourceClaimStatus": {"resourceClaimName": "c"}}, [("a", "p", "2026-01-01T00:00:00Z")], True),
        ({"extendedResourceClaimStatus": {"resourceClaimName": "d"}}, [], False),
        ({}, [("b", "p", "2026-01-02T00:00:00Z")], False),
        ({}, [("d", "p", "2026-01-02T00:00:00Z"), ("b", "q", "2026-01-01T00:00:00Z")], True),
        ({}, [("d", "p", "2026-01-01T00:00:00Z")], False),
    ],
)
def test_whose_claim_is_believed(status: dict[str, Any], rivals: list[tuple[str, str, str]], made: bool) -> None:
    claim = device_claim("c", pod="p", born="2026-01-02T00:00:00Z")
    others = [claim, *(device_claim(name, pod=of, born=born) for name, of, born in rivals)]
    there = {"metadata": {"name": "p", "uid": "uid of p"}, "status": status}
    assert devices.is_made_for(claim, there, lambda: others) is made
    assert not devices.is_made_for(claim, {**there, "metadata": {"name": "p", "uid": "another"}}, lambda: others)
    assert not devices.is_made_for(device_claim("c"), there, lambda: others)


def test_a_pod_that_speaks_for_all_its_containers_is_complete() -> None:
    for resources, said in (
        ({"limits": {"cpu": "1"}}, ""),
        ({"requests": {}}, "must specify cpu for: c"),
    ):
        assert coverage.unsaid({"cpu", "pods"}, kinds.POD, pod(resources=resources)) == said


def test_which_names_a_kind_counts_against() -> None:
    limited = {"pods", "requests.a.b/gpu", "hugepages-1Gi", "services", "count/pods", "configmaps", "requests.storage"}
    assert usage.names(kinds.POD, limited) == {"pods", "requests.a.b/gpu", "hugepages-1Gi", "count/pods"}
    assert usage.names(kinds.CONFIG_MAP, limited) == {"configmaps"}
    assert usage.names(kinds.PERSISTENT_VOLUME_CLAIM, limited) == {"requests.storage"}


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ({"scopes": ["Terminating"]}, pod(activeDeadlineSeconds=0), pod()),
        ({"scopes": ["NotTerminating"]}, pod(), pod(activeDeadlineSeconds=1)),
        ({"scopes": ["BestEffort"]}, pod(), pod(requests={"cpu": "1"})),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, pod(requests={"cpu": "1"}), pod()),
        ({"scopes": ["PriorityClass"]}, pod(priorityClassName="a"), pod()),
        (("PriorityClass", "In", ["a", "b"]), pod(priorityClassName="a"), pod(priorityClassName="c")),
        (("PriorityClass", "NotIn", ["a"]), pod(), pod(priorityClassName="a")),
        (("PriorityClass", "DoesNotExist", []), pod(), pod(priorityClassName="a")),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            pod(
                affinity={
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaceSelector": {}}]}
                }
            ),
            pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}]}}),
        ),
    ],
)
def test_scopes(scope: Any, inside: dict[str, Any], outside: dict[str, Any]) -> None:
    if isinstance(scope, tuple):
        name, operator, values = scope
        scope = {"scopeSelector": {"matchExpressions": [{"scopeName": name, "operator": operator, "values": values}]}}
    scopes = coverage.selectors(scope)
    assert coverage.covers(scopes, kinds.POD, inside) and not coverage.covers(scopes, kinds.POD, outside)
    assert not coverage.covers(scopes, kinds.CONFIG_MAP, {"metadata": {}})


def quota(name: str = "q", scopes: Any = None, **hard: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"hard": {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}}
    return {"metadata": {"name": name}, "spec": {**spec, **({"scopes": scopes} if scopes else {})}}


async def begin(client: Client, *quotas: dict[str, Any]) -> None:
    await client.create(kinds.NAMESPACE, {"metadata": {"name": "n"}})
    await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "n")
    for one in quotas:
        await client.create(kinds.RESOURCE_QUOTA, one, "n")


async def used(client: Client, name: str = "q") -> Any:
    return (await client.get(kinds.RESOURCE_QUOTA, name, "n"))["status"].get("used")


def test_as_many_pass_as_there_is_room_for(tmp_path: Path) -> None:
    """A hundred at once: exactly forty are stored, and the status never says less than there is."""

    async def test(client: Client) -> None:
        await begin(client, quota(pods="40", requests_cpu="100"))
        wanted = (client.create(kinds.POD, pod(f"p{n}", {"cpu": "100m"}), "n") for n in range(100))
        results = await asyncio.gather(*wanted, return_exceptions=True)
        refusals = [result for result in results if isinstance(result, errors.Forbidden)]
        assert len(refusals) == 60 and all(isinstance(r, (dict, errors.Forbidden)) for r in results)
        assert refusals[-1].message.endswith("exceeded quota: q, requested: pods=1, used: pods=40, limited: pods=40")
        assert await used(client) == {"pods": "40", "requests.cpu": "4"}
        names = [result["metadata"]["name"] for result in results if isinstance(result, dict)]
        await asyncio.gather(*(client.delete(kinds.POD, name, "n", grace_period=0) for name in names[:10]))

        async def settled() -> bool:
            return bool(await used(client) == {"pods": "30", "requests.cpu": "3"})

        await until(settled)
        wanted = (client.create(kinds.POD, pod(f"q{n}", {"cpu": "100m"}), "n") for n in range(20))
        again = await asyncio.gather(*wanted, return_exceptions=True)
        assert sum(isinstance(result, dict) for result in again) == 10

    run(tmp_path, test, keep_quota_statuses=True)


def test_what_is_not_stored_takes_no_room(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client, quota(count__configmaps="2"))
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dry"}}
        path = "/api/v1/namespaces/n/configmaps"
        await client.request("POST", path, body=made, query={"dryRun": "All"})
        await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "n")
        for _ in range(3):
            with pytest.raises(errors.AlreadyExists):
                await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "n")
        await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "b"}}, "n")
        with pytest.raises(errors.Forbidden, match="exceeded quota: q, requested: count/configmaps=1"):
            await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "c"}}, "n")
        with pytest.raises(errors.Forbidden, match="exceeded quota"):
            await client.request("POST", path, body=made, query={"dryRun": "All"})
        # Who validates knows the name that has been generated.
        with pytest.raises(errors.Forbidden, match='configmaps "d-[a-z0-9]{5}" is forbidden'):
            await client.create(kinds.CONFIG_MAP, {"metadata": {"generateName": "d-"}}, "n")
        # Other namespaces have room of their own; a change of what is there takes none.
        await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "c"}}, "default")
        await client.patch(kinds.CONFIG_MAP, "a", {"data": {"x": "y"}}, "n")

    run(tmp_path, test)


def test_changes_count_what_they_add(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client, quota(services_nodeports="1"))
        spec = {"ports": [{"port": 1}]}
        await client.create(kinds.SERVICE, {"metadata": {"name": "s"}, "spec": spec}, "n")
        two = {"spec": {"type": "NodePort", "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}}
        why = "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0"
        with pytest.raises(errors.Forbidden, match=why):
            await client.patch(kinds.SERVICE, "s", two, "n")
        await client.patch(kinds.SERVICE, "s", {"spec": {"type": "NodePort"}}, "n")
        assert await used(client) == {"services.nodeports": "1"}
        await client.patch(kinds.SERVICE, "s", {"metadata": {"labels": {"a": "b"}}}, "n")

    run(tmp_path, test)


def test_devices_are_counted_by_whatever_name_they_are_asked_for(tmp_path: Path) -> None:
    def claim(name: str, count: int, pod: Any = None) -> dict[str, Any]:
        made = device_claim(name, {"name": "r", "exactly": asked("gpu", count=count)})
        if pod is not None:
            made = device_claim(name, {"name": "r", "exactly": asked("gpu", count=count)}, pod=pod["metadata"]["name"])
            made["metadata"]["ownerReferences"][0]["uid"] = pod["metadata"]["uid"]
        return made

    async def test(client: Client) -> None:
        await begin(client, quota(requests_a_b__gpu="4", gpu_deviceclass_resource_k8s_io__devices="9"))
        await client.create(kinds.RESOURCE_CLAIM, claim("early", 1), "n")
        name, by_class = "requests.a.b/gpu", "gpu.deviceclass.resource.k8s.io/devices"

        async def settled(pods: str, claims: str) -> None:
            async def now() -> bool:
                return bool(await used(client) == {name: pods, by_class: claims})

            await until(now)

        await settled("0", "1")
        device_class = {"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "a.b/gpu"}}
        await client.create(kinds.DEVICE_CLASS, device_class)
        await settled("1", "1")
        amounts = {"a.b/gpu": "2"}
        asker = await client.create(kinds.POD, pod("asker", amounts, amounts), "n")
        await settled("3", "1")
        with pytest.raises(errors.Forbidden, match=f"requested: {name}=2, used: {name}=3, limited: {name}=4"):
            await client.create(kinds.RESOURCE_CLAIM, claim("large", 2), "n")
        # What the scheduler makes for the pod is the pod's, until the pod has gone.
        await client.create(kinds.RESOURCE_CLAIM, claim("made", 2, asker), "n")
        await settled("3", "3")
        await client.delete(kinds.POD, "asker", "n", grace_period=0)
        await settled("3", "3")
        await client.delete(kinds.RESOURCE_CLAIM, "made", "n")
        await settled("1", "1")
        await client.patch(kinds.DEVICE_CLASS, "gpu", {"spec": {"extendedResourceName": "a.b/other"}})
        await settled("0", "1")

    run(tmp_path, test, keep_quota_statuses=True)


def test_pods_must_say_what_is_limited(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client)
        await client.create(kinds.POD, pod("before"), "n")
        await client.create(kinds.RESOURCE_QUOTA, quota(limits_cpu="1", memory="1Gi"), "n")
        with pytest.raises(errors.Forbidden) as refusal:
            await client.create(kinds.POD, pod("p"), "n")
        assert refusal.value.message.endswith("failed quota: q: must specify limits.cpu for: c; memory for: c")
        # What was there before may change what has nothing to do with it.
        await client.patch(kinds.POD, "before", {"metadata": {"labels": {"a": "b"}}}, "n")
        resources = {"requests": {"memory": "1Mi"}, "limits": {"cpu": "1"}}
        await client.create(kinds.POD, pod("p", **resources), "n")
        # What has ended gives its room back.
        await client.patch(kinds.POD, "p", {"status": {"phase": "Succeeded"}}, "n", subresource="status")
        await client.create(kinds.POD, pod("q", **resources), "n")

    run(tmp_path, test)


def test_a_status_is_kept_right(tmp_path: Path) -> None:
    """Whoever writes another one, and across a restart."""

    async def main() -> None:
        async with serving(tmp_path, keep_quota_statuses=True) as client:
            await begin(client)
            await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "n")
            await client.create(kinds.RESOURCE_QUOTA, quota(configmaps="5"), "n")

            async def right() -> bool:
                found = (await client.get(kinds.RESOURCE_QUOTA, "q", "n"))["status"]
                return bool(found == {"hard": {"configmaps": "5"}, "used": {"configmaps": "1"}})

            await until(right)
            wrong = {"status": {"used": {"configmaps": "9"}}}
            await client.patch(kinds.RESOURCE_QUOTA, "q", wrong, "n", subresource="status")
            await until(right)
            await client.patch(kinds.RESOURCE_QUOTA, "q", {"spec": {"hard": {"configmaps": "1"}}}, "n")
        async with serving(tmp_path) as client:
            with pytest.raises(errors.Forbidden, match="used: configmaps=1, limited: configmaps=1"):
                await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "b"}}, "n")
            await client.delete(kinds.RESOURCE_QUOTA, "q", "n")
            await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "b"}}, "n")

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_status_is_left_to_others_until_something_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_LAG", 0)

    async def test(client: Client) -> None:
        await begin(client)
        await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "n")
        made = await client.create(kinds.RESOURCE_QUOTA, quota(configmaps="2"), "n")
        theirs = {"hard": {"configmaps": "9"}, "used": {"configmaps": "8"}}
        await client.patch(kinds.RESOURCE_QUOTA, "q", {"status": theirs}, "n", subresource="status")
        for _ in range(20):
            assert (await client.get(kinds.RESOURCE_QUOTA, "q", "n"))["status"] == theirs
        assert made["status"] == {}
        await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "b"}}, "n")
        assert await used(client) == {"configmaps": "2"}
        with pytest.raises(errors.Forbidden, match="used: configmaps=2, limited: configmaps=2"):
            await client.create(kinds.CONFIG_MAP, {"metadata": {"name": "c"}}, "n")

    run(tmp_path, test)


def test_each_quota_is_asked_for_what_it_covers(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client, quota("best", ["BestEffort"], pods="0"), quota("all", pods="9"))
        with pytest.raises(errors.Forbidden, match="exceeded quota: best"):
            await client.create(kinds.POD, pod("p"), "n")
        await client.create(kinds.POD, pod("q", {"cpu": "1"}), "n")
        assert await used(client, "all") == {"pods": "1"}

    run(tmp_path, test)


def test_a_namespace_with_much_in_it_is_counted_before_anything_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Much is what is counted in more than one turn: a few where a turn takes fewer."""
    monkeypatch.setattr(ledger, "_SLICE", 10)

    async def test(client: Client) -> None:
        await begin(client)
        names = [f"m{number}" for number in range(25)]
        await asyncio.gather(*(client.create(kinds.CONFIG_MAP, {"metadata": {"name": n}}, "n") for n in names))
        asked = client.create(kinds.RESOURCE_QUOTA, quota(configmaps="27"), "n")
        more = [client.create(kinds.CONFIG_MAP, {"metadata": {"name": f"x{n}"}}, "n") for n in range(5)]
        await asked
        results = await asyncio.gather(*more, return_exceptions=True)
        assert sum(isinstance(result, dict) for result in results) == 2
        assert await used(client) == {"configmaps": "27"}

    run(tmp_path, test)


def test_what_other_servers_left_no_room_for_is_not_told_as_used() -> None:
    account = Account("n", "q", parsed({"pods": "4"}), ())

    def told() -> list[str]:
        return [str(amounts["pods"]) for amounts in (account.stored(), account.used(), account.shown())]

    for number in range(3):
        account.count(kinds.POD, f"p{number}", pod(), NOW)
    account.reserve("u", 1, parsed({"pods": "1"}))
    assert told() == ["3", "4", "4"]
    # Another server's: what is under way here is one too many.
    account.count(kinds.POD, "p3", pod(), NOW)
    assert told() == ["4", "5", "4"]
    account.hard = parsed({"pods": "2"})
    assert told() == ["4", "5", "4"]


class _Watched(Account):
    """Counts how often it was asked whether it is closed, which each turn of a wait for its status asks."""

    turns = 0

    @property
    def closed(self) -> bool:
        self.turns += 1
        if self.turns > 100:
            raise RecursionError("nobody else had a turn")
        return False

    @closed.setter
    def closed(self, closed: bool) -> None:
        pass


def test_who_comes_as_a_write_of_the_status_ends_begins_the_next() -> None:
    """Another pod goes while the status is written, and the next create comes in the turn in which that write ends."""

    async def main() -> None:
        account = _Watched("n", "q", {}, ())
        waiting: list[asyncio.Task[None]] = []

        class Store:
            async def mutate(self, *what: Any, **how: Any) -> None:
                what[3]({})
                if not waiting:
                    account.wrong += 1
                    waiting.append(asyncio.ensure_future(statuses.written([account])))

        statuses = Statuses(cast(Needs, SimpleNamespace(registry=Store())))
        account.wrong = 1
        await statuses.written([account])
        await waiting[0]
        assert account.written == account.wrong == 2

    asyncio.run(main())
