"""ResourceClaims of pods with the real API server; the test allocates, as a scheduler does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apimachinery.kinds import EVENT, POD, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE
from apimachinery.objects import Obj, name, uid
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play, pod

DEVICES: Obj = {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu.example"}}]}
RESULT = {"request": "r", "driver": "gpu.example", "pool": "p", "device": "d"}
FINALIZER = "resource.kubernetes.io/delete-protection"


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
