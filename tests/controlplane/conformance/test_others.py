"""Budgets, quotas, claims and volumes, attachments, ranges of Services."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.kinds import (
    DEPLOYMENT,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SERVICE_CIDR,
    STATEFUL_SET,
    VOLUME_ATTACHMENT,
)
from apimachinery.objects import Obj, name, namespace, uid
from tests.controlplane.conformance.flows import Flow, side_by_side, template, workload

EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction"}


async def evict(flow: Flow, pod: Obj) -> None:
    meta = {"name": name(pod), "namespace": namespace(pod)}
    await flow.client.create(POD, {**EVICTION, "metadata": meta}, name=name(pod), subresource="eviction")


async def pods(flow: Flow, count: int) -> list[Obj]:
    for number in range(count):
        made = template()
        meta = {"name": f"pod{number}", "namespace": flow.space, "labels": made["metadata"]["labels"]}
        await flow.client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": made["spec"]})
    return await flow.pods_are(count)


def budget(**spec: Any) -> Obj:
    return {"selector": {"matchLabels": {"app": "web"}}, **spec}


async def a_budget_holds_an_eviction_back_until_it_allows_it(flow: Flow) -> None:
    first, *_ = await pods(flow, 3)
    await flow.make(POD_DISRUPTION_BUDGET, "web", budget(minAvailable=3))
    await flow.has(POD_DISRUPTION_BUDGET, "web", currentHealthy=3, expectedPods=3, disruptionsAllowed=0)
    with pytest.raises(errors.TooManyRequests, match="disruption budget"):
        await evict(flow, first)
    await flow.client.patch(POD_DISRUPTION_BUDGET, "web", {"spec": {"minAvailable": 2}}, flow.space)
    await flow.has(POD_DISRUPTION_BUDGET, "web", disruptionsAllowed=1, observedGeneration=2)
    await evict(flow, first)
    await flow.until(lambda: name(first) not in flow.names())
    with pytest.raises(errors.TooManyRequests):
        await evict(flow, flow.pods()[0])
    await flow.delete(POD_DISRUPTION_BUDGET, "web")
    await evict(flow, flow.pods()[0])


async def the_life_of_a_budget(flow: Flow) -> None:
    await flow.make(POD_DISRUPTION_BUDGET, "web", budget(minAvailable="1%"), labels={"wht": flow.space})
    # It is written once the loop has seen it, also where no pod is meant.
    await flow.has(POD_DISRUPTION_BUDGET, "web", observedGeneration=1, expectedPods=0)
    await flow.client.patch(POD_DISRUPTION_BUDGET, "web", {"spec": {"minAvailable": "3%"}}, flow.space)
    await flow.has(POD_DISRUPTION_BUDGET, "web", observedGeneration=2)
    patch = {"metadata": {"annotations": {"patched": "true"}}}
    await flow.client.patch(POD_DISRUPTION_BUDGET, "web", patch, flow.space, subresource="status")
    # A share is of what owners ask for.
    await flow.make(REPLICA_SET, "web", workload(3))
    await flow.has(POD_DISRUPTION_BUDGET, "web", currentHealthy=3, desiredHealthy=1, disruptionsAllowed=2)
    await flow.deletes_collection(POD_DISRUPTION_BUDGET, f"wht={flow.space}", 1)


async def loops_that_race_do_not_pass_a_quota(flow: Flow) -> None:
    await flow.make(RESOURCE_QUOTA, "few", {"hard": {"pods": "5"}})
    most = 0

    def count(old: Obj | None, new: Obj | None) -> None:
        nonlocal most
        most = max(most, len([p for p in flow.at.pods.items() if namespace(p) == flow.space]))

    flow.at.pods.add_handler(count)
    await asyncio.gather(
        flow.make(REPLICA_SET, "a", workload(10)),
        flow.make(STATEFUL_SET, "b", workload(10, serviceName="b", podManagementPolicy="Parallel")),
        flow.make(DEPLOYMENT, "c", workload(10)),
    )
    await flow.has(RESOURCE_QUOTA, "few", used={"pods": "5"})
    await flow.pods_are(5)

    async def told() -> bool:
        conditions = (await flow.status(REPLICA_SET, "a")).get("conditions") or ()
        return any("exceeded quota: few" in c["message"] for c in conditions if c["type"] == "ReplicaFailure")

    await flow.until(told)
    assert most == 5


async def the_life_of_a_volume_and_its_claim(flow: Flow) -> None:
    called = f"pv-{flow.space}"
    given = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}, "hostPath": {"path": "/data"}}
    given |= {"storageClassName": called, "persistentVolumeReclaimPolicy": "Retain"}
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for _ in range(2):
        await flow.make(PERSISTENT_VOLUME, called, given, labels={"wht": flow.space})
        await flow.make(
            PERSISTENT_VOLUME_CLAIM, "c", {**wanted, "storageClassName": called}, labels={"wht": flow.space}
        )
        await flow.has(PERSISTENT_VOLUME_CLAIM, "c", phase="Bound", capacity={"storage": "2Gi"})
        await flow.has(PERSISTENT_VOLUME, called, phase="Bound")
        claim = await flow.get(PERSISTENT_VOLUME_CLAIM, "c")
        assert claim["spec"]["volumeName"] == called
        assert (await flow.get(PERSISTENT_VOLUME, called))["spec"]["claimRef"]["uid"] == uid(claim)
        # Somebody else's condition stays, and a phase that is wrong is put right.
        mine = {"type": "whtPatched", "status": "True", "reason": "E2E", "message": "m"}
        await flow.patch(PERSISTENT_VOLUME_CLAIM, "c", {"status": {"conditions": [mine]}}, "status")
        await flow.patch(PERSISTENT_VOLUME, called, {"status": {"message": "patched", "reason": "E2E"}}, "status")
        await flow.patch(PERSISTENT_VOLUME_CLAIM, "c", {"metadata": {"labels": {"more": "patched"}}})
        await flow.has(PERSISTENT_VOLUME_CLAIM, "c", phase="Bound")
        assert (await flow.status(PERSISTENT_VOLUME_CLAIM, "c"))["conditions"][0]["type"] == "whtPatched"
        await flow.deletes_collection(PERSISTENT_VOLUME_CLAIM, f"wht={flow.space}", 1)
        await flow.has(PERSISTENT_VOLUME, called, phase="Released")
        await flow.client.delete_collection(PERSISTENT_VOLUME, label_selector=f"wht={flow.space}")
        await flow.gone(PERSISTENT_VOLUME, called)


async def the_life_of_an_attachment(flow: Flow) -> None:
    """Attachments of volumes that nobody knows, as the test makes them: nobody takes them away meanwhile."""
    source = {"persistentVolumeName": "nobody-s"}
    spec = {"attacher": "e2e.example", "nodeName": "a-node", "source": source}
    called = f"va-{flow.space}"
    await flow.make(VOLUME_ATTACHMENT, called, spec, labels={"wht": flow.space})
    found = await flow.patch(VOLUME_ATTACHMENT, called, {"metadata": {"labels": {"more": "patched"}}})
    assert not (found.get("status") or {}).get("attached")
    found = await flow.patch(VOLUME_ATTACHMENT, called, {"status": {"attached": True}}, "status")
    assert found["status"]["attached"] is True
    found["status"]["attached"] = False
    found = await flow.client.update(VOLUME_ATTACHMENT, found, subresource="status")
    assert found["status"]["attached"] is False
    await flow.make(VOLUME_ATTACHMENT, f"{called}-2", spec, labels={"wht": flow.space})
    assert len((await flow.client.list(VOLUME_ATTACHMENT, label_selector=f"wht={flow.space}"))["items"]) == 2
    await flow.client.delete_collection(VOLUME_ATTACHMENT, label_selector=f"wht={flow.space}")
    await flow.gone(VOLUME_ATTACHMENT, called)
    await flow.gone(VOLUME_ATTACHMENT, f"{called}-2")


async def the_life_of_a_range_of_services(flow: Flow) -> None:
    await flow.make(SERVICE_CIDR, "extra", {"cidrs": ["192.168.0.0/24"]}, labels={"wht": flow.space})

    async def ready() -> bool:
        conditions = (await flow.status(SERVICE_CIDR, "extra")).get("conditions") or ()
        return [c["status"] for c in conditions if c["type"] == "Ready"] == ["True"]

    await flow.until(ready)
    mine = {"type": "whtPatched", "status": "True", "reason": "E2E", "message": "m"}
    found = await flow.get(SERVICE_CIDR, "extra")
    found["status"]["conditions"].append({**mine, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    found = await flow.client.update(SERVICE_CIDR, found, subresource="status")
    assert [c["type"] for c in found["status"]["conditions"]] == ["Ready", "whtPatched"]
    await flow.patch(SERVICE_CIDR, "extra", {"metadata": {"annotations": {"patched": "true"}}})
    await flow.client.delete_collection(SERVICE_CIDR, label_selector=f"wht={flow.space}")
    await flow.gone(SERVICE_CIDR, "extra")


def test_budgets_and_quotas(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            a_budget_holds_an_eviction_back_until_it_allows_it,
            the_life_of_a_budget,
            loops_that_race_do_not_pass_a_quota,
        ),
    )


def test_volumes_attachments_and_ranges(tmp_path: Path) -> None:
    side_by_side(
        tmp_path, (the_life_of_a_volume_and_its_claim, the_life_of_an_attachment, the_life_of_a_range_of_services)
    )
