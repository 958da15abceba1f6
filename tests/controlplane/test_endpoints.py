"""Endpoints and mirrored slices against the real API server."""

from __future__ import annotations

from pathlib import Path

from apimachinery import errors
from apimachinery.kinds import DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, SERVICE
from apimachinery.objects import Obj
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import SERVICE_OF_WEB, deployment, play


async def subsets(at: Stage, name: str) -> list[Obj] | None:
    try:
        found = await at.client.get(ENDPOINTS, name, "default")
    except errors.NotFound:
        return None
    return found.get("subsets") or []


async def slices(at: Stage, name: str) -> list[Obj]:
    return list(
        (await at.client.list(ENDPOINT_SLICE, "default", label_selector=f"kubernetes.io/service-name={name}"))["items"]
    )


def test_endpoints_follow_the_pods_and_go_with_the_service(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(SERVICE, SERVICE_OF_WEB)
        await at.client.create(DEPLOYMENT, deployment(3))

        async def full() -> bool:
            found = await subsets(at, "web")
            return len((found or [{}])[0].get("addresses") or ()) == 3

        await at.until(full)
        # Nobody makes slices of what a selector governs.
        assert len(await slices(at, "web")) == 1
        await at.client.delete(ENDPOINTS, "web", "default")
        await at.until(full)
        await at.kill_loops()
        await at.client.delete(SERVICE, "web", "default")
        await at.start_loops()

        async def gone() -> bool:
            return await subsets(at, "web") is None

        await at.until(gone)

    play(tmp_path, scenario)


def test_endpoints_written_by_hand_are_mirrored(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        meta = {"name": "db", "namespace": "default"}
        spec = {"ports": [{"port": 5432}]}
        await at.client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        subset: Obj = {"addresses": [{"ip": "10.9.0.1"}], "ports": [{"port": 5432}]}
        made: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}
        await at.client.create(ENDPOINTS, made)

        async def mirrored(*addresses: str) -> bool:
            found = await slices(at, "db")
            return [e["addresses"][0] for s in found for e in s["endpoints"]] == list(addresses)

        await at.until(lambda: mirrored("10.9.0.1"))
        (first,) = await slices(at, "db")
        subset["addresses"].append({"ip": "10.9.0.2"})
        await at.client.update(ENDPOINTS, made)
        await at.until(lambda: mirrored("10.9.0.1", "10.9.0.2"))
        (second,) = await slices(at, "db")
        # At rest nothing is written any more.
        assert (second["metadata"]["name"], second["metadata"]["generation"]) == (first["metadata"]["name"], 2)
        await at.client.patch(SERVICE, "db", {"spec": {"selector": {"app": "db"}}}, "default")

        async def handed_over() -> bool:
            managers = {
                s["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for s in await slices(at, "db")
            }
            return managers == {"endpointslice-controller.k8s.io"}

        await at.until(handed_over)

    play(tmp_path, scenario)
