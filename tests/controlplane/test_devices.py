"""ResourceClaims of pods with the real API server; the test allocates, as a scheduler does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apimachinery.kinds import DEVICE_CLASS, EVENT, POD, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE
from apimachinery.objects import Obj, name, uid
from apimachinery.pods.devices import FINALIZER
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play, pod

DEVICES: Obj = {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu.example"}}]}
RESULT = {"request": "r", "driver": "gpu.example", "pool": "p", "device": "d"}


def of(kind: str, called: str, spec: Obj) -> Obj:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": called, "namespace": "default"},
        "spec": spec,
    }


async def claims(at: Stage) -> list[Obj]:
    found: list[Obj] = (await at.client.list(RESOURCE_CLAIM, "default"))["items"]
    return found


def test_a_claim_is_made_for_a_pod_reserved_and_gone_with_its_end(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        client = at.client
        wanted = pod("p", resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "t"}], nodeName="node1")
        await client.create(POD, wanted)

        async def told() -> bool:
            text = (
                'PodResourceClaim gpu: resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found'
            )
            return any(e["message"] == text for e in (await client.list(EVENT, "default"))["items"])

        await at.until(told)
        await client.create(RESOURCE_CLAIM_TEMPLATE, of("ResourceClaimTemplate", "t", {"spec": {"devices": DEVICES}}))

        async def named() -> Any:
            status = (await client.get(POD, "p", "default"))["status"]
            return [entry["resourceClaimName"] for entry in status.get("resourceClaimStatuses") or ()]

        await at.until(named)
        (made,) = await claims(at)
        assert await named() == [name(made)] and name(made).startswith("p-gpu-")
        await allocate(at, made)

        async def reserved() -> list[str]:
            return [who["uid"] for who in (await claims(at))[0]["status"].get("reservedFor") or ()]

        await at.until(reserved)
        assert await reserved() == [uid(await client.get(POD, "p", "default"))]
        done = {"status": {"phase": "Succeeded"}}
        await client.patch(POD, "p", done, "default", subresource="status")

        async def gone() -> bool:
            return await claims(at) == []

        await at.until(gone)

    play(tmp_path, scenario, nodes=0)


def test_a_shared_claim_is_given_back_by_the_last_pod(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        client = at.client
        await client.create(RESOURCE_CLAIM, of("ResourceClaim", "shared", {"devices": DEVICES}))
        for which in ("a", "b"):
            wanted = pod(which, resourceClaims=[{"name": "gpu", "resourceClaimName": "shared"}], nodeName="node1")
            await client.create(POD, wanted)
        await allocate(at, (await claims(at))[0])

        async def users() -> int:
            return len((await claims(at))[0]["status"].get("reservedFor") or ())

        async def has(count: int) -> bool:
            return await users() == count

        await at.until(lambda: has(2))
        await client.delete(POD, "a", "default", grace_period=0)
        await at.until(lambda: has(1))
        assert "allocation" in (await claims(at))[0]["status"]
        # Loops that were not there when the last one went.
        await at.kill_loops()
        await client.delete(POD, "b", "default", grace_period=0)
        await at.start_loops()

        async def free() -> bool:
            (claim,) = await claims(at)
            return not (claim.get("status") or {}).get("allocation") and not claim["metadata"].get("finalizers")

        await at.until(free)

    play(tmp_path, scenario, nodes=0)


async def allocate(at: Stage, claim: Obj) -> None:
    """As the scheduler does: the finalizer first, then the allocation."""
    await at.client.patch(RESOURCE_CLAIM, name(claim), {"metadata": {"finalizers": [FINALIZER]}}, "default")
    done = {"status": {"allocation": {"devices": {"results": [RESULT]}}}}
    await at.client.patch(RESOURCE_CLAIM, name(claim), done, "default", subresource="status")


def test_a_pod_gets_the_devices_of_its_node_and_the_next_one_waits_for_them(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        client = at.client
        await client.create(RESOURCE_CLAIM_TEMPLATE, of("ResourceClaimTemplate", "t", {"spec": {"devices": DEVICES}}))
        await client.create(POD, pod("a", resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "t"}]))

        async def says(which: str, text: str) -> bool:
            told = (await client.get(POD, which, "default"))["status"].get("conditions") or []
            return any(c["type"] == "PodScheduled" and text in c.get("message", "") for c in told)

        missing = "request r: device class gpu.example does not exist"
        await at.until(lambda: says("a", missing))
        kind = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.example"}}
        ours = {"cel": {"expression": 'device.driver == "gpu.example"'}}
        await client.create(DEVICE_CLASS, {**kind, "spec": {"selectors": [ours]}})
        await at.until(lambda: says("a", "3 cannot allocate all claims"))
        pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
        other = {"driver": "another.example", "pool": pool, "nodeName": "node1", "devices": [{"name": "d"}]}
        head = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice"}
        await client.create(RESOURCE_SLICE, {**head, "metadata": {"name": "another"}, "spec": other})
        spec = {"driver": "gpu.example", "pool": pool, "nodeName": "node2", "devices": [{"name": "d"}]}
        await client.create(RESOURCE_SLICE, {**head, "metadata": {"name": "node2-gpus"}, "spec": spec})

        async def node_of(which: str) -> str:
            return str((await client.get(POD, which, "default"))["spec"].get("nodeName") or "")

        await at.until(lambda: node_of("a"))
        assert await node_of("a") == "node2"
        (claim,) = await claims(at)
        only = {"key": "metadata.name", "operator": "In", "values": ["node2"]}
        allocation = claim["status"]["allocation"]
        assert allocation["devices"]["results"] == [RESULT]
        assert allocation["nodeSelector"] == {"nodeSelectorTerms": [{"matchFields": [only]}]}
        assert allocation["allocationTimestamp"]
        assert [who["name"] for who in claim["status"]["reservedFor"]] == ["a"]
        assert claim["metadata"]["finalizers"] == [FINALIZER]

        await client.create(POD, pod("b", resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "t"}]))
        await at.until(lambda: says("b", "3 cannot allocate all claims"))
        await client.delete(POD, "a", "default", grace_period=0)
        await at.until(lambda: node_of("b"))
        assert await node_of("b") == "node2"

    play(tmp_path, scenario)
