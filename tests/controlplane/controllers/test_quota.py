"""What the quota loop counts, and what makes it count."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, NAMESPACE, PERSISTENT_VOLUME_CLAIM, POD, RESOURCE_CLAIM, SERVICE, Kind
from apimachinery.objects import Obj
from controlplane.controllers.context import Informers
from controlplane.controllers.quota import plan
from controlplane.controllers.quota.controller import ResourceQuotaController
from tests.controlplane.controllers.build import T0, pod, service


def quota(status: Obj | None = None, scopes: Any = None, **hard: str) -> Obj:
    spec: Obj = {"hard": {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}}
    if scopes:
        spec["scopes"] = scopes
    return {"metadata": {"name": "q", "namespace": "default"}, "spec": spec, "status": status or {}}


def sized(name: str, cpu: str, **parts: Any) -> Obj:
    made = pod(name, **parts)
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return made


def test_it_counts_what_the_quota_covers() -> None:
    pods = [sized("a", "500m"), sized("b", "1"), sized("done", "4", phase="Succeeded"), pod("bare")]
    objects = {POD: pods, CONFIG_MAP: [{"metadata": {"name": "m"}}], SERVICE: [service(type="NodePort")]}
    wanted = quota(pods="9", requests_cpu="9", count__configmaps="9", services_nodeports="9", secrets="9")
    found = {name: str(amount) for name, amount in plan.used(wanted, objects, T0).items()}
    assert found == {
        "pods": "3",
        "requests.cpu": "1500m",
        "count/configmaps": "1",
        "services.nodeports": "1",
        "secrets": "0",
    }
    best = plan.used(quota(scopes=["BestEffort"], pods="9"), {POD: pods}, T0)
    assert str(best["pods"]) == "1"


def test_a_status_that_is_right_is_left_as_it_is_written() -> None:
    wanted = quota(pods="3", requests_cpu="2")
    total = plan.used(wanted, {POD: [sized("a", "1")]}, T0)
    assert plan.status(wanted, total) == {
        "hard": {"pods": "3", "requests.cpu": "2"},
        "used": {"pods": "1", "requests.cpu": "1"},
    }
    said = {"hard": {"pods": "3", "requests.cpu": "2000m"}, "used": {"pods": "1", "requests.cpu": "1000m"}}
    assert plan.status(quota(said, pods="3", requests_cpu="2"), total) is None
    assert plan.status(quota(said, pods="4", requests_cpu="2"), total) is not None


CLAIM = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}


@pytest.mark.parametrize(
    ("kind", "old", "new", "room"),
    [
        (POD, None, pod("a"), False),
        (POD, pod("a"), None, True),
        (CONFIG_MAP, {"metadata": {}}, None, True),
        (CONFIG_MAP, {"metadata": {}}, {"metadata": {}, "data": {"a": "b"}}, False),
        (POD, sized("a", "1"), sized("a", "1", phase="Failed"), True),
        (POD, sized("a", "1"), sized("a", "500m"), True),
        (POD, sized("a", "1"), sized("a", "2"), False),
        (SERVICE, service(type="NodePort"), service(type="ClusterIP"), True),
        (SERVICE, service(type="ClusterIP"), service(type="NodePort"), False),
        (PERSISTENT_VOLUME_CLAIM, CLAIM, CLAIM, False),
    ],
)
def test_what_makes_room(kind: Kind, old: Obj | None, new: Obj | None, room: bool) -> None:
    assert plan.frees(kind, old, new, T0) is room


def test_quotas_are_counted_when_their_limits_are_others_than_they_tell() -> None:
    told = quota({"hard": {"pods": "3"}}, pods="3")
    assert plan.asks(None, told)
    assert plan.asks(told, quota({"hard": {"pods": "3"}}, pods="4"))
    assert plan.asks(told, quota({}, pods="3"))
    # Another's write of what is used, the API server's for one, asks for nothing.
    assert not plan.asks(told, quota({"hard": {"pods": "3"}, "used": {"pods": "1"}}, pods="3"))


def test_kinds_that_quotas_count_are_those_that_can_be_watched() -> None:
    listed = frozenset(("list", "watch"))
    served = [Kind("", "v1", "Pod", "pods", "pod", True, verbs=listed), NAMESPACE]
    assert plan.countable(served) == (POD,)
    assert plan.limited(quota(pods="1", services="2"), (POD, SERVICE, CONFIG_MAP)) == [POD, SERVICE]


def test_devices_count_by_class_and_by_the_class_s_resource() -> None:
    listed = frozenset(("list", "watch"))
    served = Kind("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", "resourceclaim", True, verbs=listed)
    (kind,) = plan.countable([served])
    assert kind is RESOURCE_CLAIM
    request = {"exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    made = {"resource.kubernetes.io/extended-resource-claim": "true"}
    claims = [
        {"metadata": {"name": "own"}, "spec": {"devices": {"requests": [request]}}},
        {
            "metadata": {"name": "made", "annotations": made, "ownerReferences": [owner]},
            "spec": {"devices": {"requests": [request]}},
        },
    ]
    asker = pod("p")
    asker["metadata"]["uid"] = "u"
    asker["spec"]["containers"][0]["resources"] = {"requests": {"a.b/gpu": "2"}}
    wanted: Obj = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.a.b/gpu": "9"}}}
    by_class = "gpu.deviceclass.resource.k8s.io/devices"
    wanted["spec"]["hard"][by_class] = "9"
    assert plan.asks_devices(wanted) and not plan.asks_devices(quota(requests_cpu="1"))
    objects = {POD: [asker], RESOURCE_CLAIM: claims}
    classes = [{"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "a.b/gpu"}}]
    found = plan.used(wanted, objects, T0, classes)
    assert {name: str(amount) for name, amount in found.items()} == {"requests.a.b/gpu": "4", by_class: "4"}
    found = plan.used(wanted, objects, T0)
    assert {name: str(amount) for name, amount in found.items()} == {"requests.a.b/gpu": "2", by_class: "4"}


def test_the_kinds_that_are_forgotten_while_a_quota_waits_for_device_classes_count_all_the_same() -> None:
    wrote: list[Obj] = []

    class Server:
        async def update(self, kind: Kind, obj: Obj, **how: Any) -> None:
            wrote.append(obj["status"]["used"])

    async def main() -> None:
        client = cast(Client, Server())
        informers = Informers(client)
        loop = ResourceQuotaController(cast(Any, SimpleNamespace(client=client, informers=informers)))
        loop._quotas._replace("default/q", quota(pods="9"))
        pods = informers.of(POD)
        pods._replace("default/a", sized("a", "1"))
        pods._synced.set()
        loop._served = (POD,)

        async def classes(*_: Any) -> list[Obj]:
            # The other loop looks every few minutes which kinds there are.
            loop._served = ()
            return []

        loop._device_classes = classes  # type: ignore[method-assign, assignment]
        await loop._sync("default/q")
        assert wrote == [{"pods": "1"}]

    asyncio.run(main())
