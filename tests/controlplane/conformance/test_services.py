"""Services and what leads to their pods, and the operations of kinds that no loop of ours acts on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import (
    CSI_DRIVER,
    CSI_STORAGE_CAPACITY,
    DEVICE_CLASS,
    ENDPOINT_SLICE,
    ENDPOINTS,
    INGRESS,
    INGRESS_CLASS,
    POD,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
    SERVICE,
    VOLUME_ATTRIBUTES_CLASS,
    Kind,
)
from apimachinery.objects import Obj, labels, name, resource_version
from tests.controlplane.conformance.flows import Flow, side_by_side, template

SERVICE_OF = "kubernetes.io/service-name"


async def slices(flow: Flow, service: str) -> list[Obj]:
    return await flow.every(ENDPOINT_SLICE, f"{SERVICE_OF}={service}")


async def pods_of_a_service_are_in_endpoints_and_slices(flow: Flow) -> None:
    """One port by number, one by a name that two pods understand differently."""
    ports = [{"name": "web", "port": 80, "targetPort": "web"}, {"name": "raw", "port": 81, "targetPort": 9000}]
    await flow.make(SERVICE, "web", {"selector": {"app": "web"}, "ports": ports})
    await flow.make(SERVICE, "other", {"selector": {"app": "none"}, "ports": ports})
    for pod, port in (("one", 3000), ("two", 3001)):
        spec = template()["spec"]
        spec["containers"][0]["ports"] = [{"name": "web", "containerPort": port}]
        await flow.make(POD, pod, spec, labels={"app": "web"})
    addresses = {p["status"]["podIP"]: name(p) for p in await flow.pods_are(2)}

    async def published() -> bool:
        found = {}
        for piece in await slices(flow, "web"):
            told = {p["name"]: p["port"] for p in piece["ports"]}
            for endpoint in piece["endpoints"]:
                if endpoint["conditions"]["ready"]:
                    found[endpoint["targetRef"]["name"]] = (told, endpoint["addresses"])
        wanted = {"one": 3000, "two": 3001}
        by_name = {pod: ({"web": port, "raw": 9000}, [ip]) for ip, pod in addresses.items() for port in [wanted[pod]]}
        return found == by_name

    await flow.until(published)

    async def in_endpoints() -> bool:
        subsets = (await flow.get(ENDPOINTS, "web")).get("subsets") or ()
        return {a["ip"] for subset in subsets for a in subset.get("addresses") or ()} == set(addresses)

    await flow.until(in_endpoints)
    assert all(not piece.get("endpoints") for piece in await slices(flow, "other"))
    await flow.delete(SERVICE, "web")
    await flow.gone(ENDPOINTS, "web")

    async def none() -> bool:
        return not await slices(flow, "web")

    await flow.until(none)


async def endpoints_of_ones_own_are_mirrored(flow: Flow) -> None:
    await flow.make(SERVICE, "mine", {"ports": [{"name": "web", "port": 80}]})
    meta = {"name": "mine", "namespace": flow.space, "labels": {"wht": flow.space}}
    subset = {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "web", "port": 9000}]}
    await flow.client.create(
        ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}
    )

    async def mirrored(*wanted: str) -> bool:
        found = await slices(flow, "mine")
        assert all(
            labels(s)["endpointslice.kubernetes.io/managed-by"].startswith("endpointslicemirroring") for s in found
        )
        return sorted(a for s in found for e in s["endpoints"] for a in e["addresses"]) == sorted(wanted)

    await flow.until(lambda: mirrored("10.1.2.3"))
    more = {**subset, "addresses": [{"ip": "10.1.2.3"}, {"ip": "10.2.3.4"}]}
    await flow.client.patch(ENDPOINTS, "mine", {"subsets": [more]}, flow.space, patch_type=PatchType.MERGE)
    await flow.until(lambda: mirrored("10.1.2.3", "10.2.3.4"))
    await flow.deletes_collection(ENDPOINTS, f"wht={flow.space}", 1)
    await flow.until(mirrored)


async def a_service_changes_its_type(flow: Flow) -> None:
    await flow.make(SERVICE, "s", {"type": "ExternalName", "externalName": "example.com"})
    ports = {"ports": [{"name": "web", "port": 80, "protocol": "TCP"}]}
    found = await flow.patch(SERVICE, "s", {"spec": {"type": "ClusterIP", "externalName": None, **ports}})
    assert found["spec"]["clusterIP"] and "externalName" not in found["spec"]
    found = await flow.patch(SERVICE, "s", {"spec": {"type": "NodePort"}})
    port = found["spec"]["ports"][0]["nodePort"]
    with pytest.raises(errors.Invalid, match="provided port is already allocated"):
        taken = [{"port": 80, "nodePort": port}]
        await flow.make(SERVICE, "t", {"type": "NodePort", "ports": taken})
    back = {"type": "ExternalName", "externalName": "example.com", "clusterIP": None, "clusterIPs": None}
    found = await flow.client.patch(SERVICE, "s", {"spec": back}, flow.space, patch_type=PatchType.MERGE)
    assert "clusterIP" not in found["spec"] and "nodePort" not in found["spec"]["ports"][0]
    # What it had is free for others.
    await flow.make(SERVICE, "t", {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]})


async def the_status_of_a_service_takes_changes(flow: Flow) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    await flow.make(SERVICE, "s", spec, labels={"wht": flow.space})
    told = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
    found = await flow.client.patch(SERVICE, "s", told, flow.space, subresource="status", patch_type=PatchType.MERGE)
    assert [i["ip"] for i in found["status"]["loadBalancer"]["ingress"]] == ["203.0.113.1"]
    mine = {"type": "whtUpdated", "status": "True", "reason": "E2E", "message": "m"}
    found["status"]["conditions"] = [{**mine, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    found = await flow.client.update(SERVICE, found, subresource="status")
    assert found["status"]["conditions"][0]["type"] == "whtUpdated"
    found = await flow.patch(SERVICE, "s", {"metadata": {"annotations": {"patched": "true"}}})
    assert found["status"]["loadBalancer"]["ingress"]
    everywhere = (await flow.client.list(SERVICE, label_selector=f"wht={flow.space}"))["items"]
    assert [name(s) for s in everywhere] == ["s"]
    await flow.delete(SERVICE, "s")
    await flow.gone(SERVICE, "s")


BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
CLAIM = {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}]}}
POOL = {"name": "p", "generation": 1, "resourceSliceCount": 1}
OPERATED: list[tuple[Kind, Obj, Obj, bool]] = [
    (INGRESS, {"spec": {"defaultBackend": BACKEND}}, {"spec": {"ingressClassName": "own"}}, True),
    (INGRESS_CLASS, {"spec": {"controller": "example.com/c"}}, {}, False),
    (CSI_DRIVER, {"spec": {"attachRequired": False}}, {"spec": {"requiresRepublish": True}}, False),
    (
        CSI_STORAGE_CAPACITY,
        {"storageClassName": "slow", "capacity": "1Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}},
        {"capacity": "2Gi"},
        False,
    ),
    (VOLUME_ATTRIBUTES_CLASS, {"driverName": "example.com", "parameters": {"iops": "1"}}, {}, False),
    (
        ENDPOINT_SLICE,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.9.9.9"]}]},
        {"ports": [{"name": "a", "port": 9, "protocol": "TCP"}]},
        False,
    ),
    (DEVICE_CLASS, {"spec": {}}, {"spec": {"extendedResourceName": "example.com/device"}}, False),
    (RESOURCE_CLAIM, {"spec": CLAIM}, {}, False),
    (RESOURCE_CLAIM_TEMPLATE, {"spec": {"spec": CLAIM}}, {}, False),
    (
        RESOURCE_SLICE,
        {"spec": {"driver": "e2e.example.com", "nodeName": "a-node", "pool": POOL, "devices": [{"name": "a"}]}},
        {"spec": {"devices": [{"name": "b"}]}},
        False,
    ),
]
"""Each kind, an object of it, a change, and whether it has a status."""


async def every_operation_of_what_nobody_acts_on(flow: Flow) -> None:
    await asyncio.gather(*(_operate(flow, *row) for row in OPERATED))


async def _operate(flow: Flow, kind: Kind, body: Obj, change: Obj, has_status: bool) -> None:
    space = flow.space if kind.namespaced else None
    selector = f"wht={flow.space}"

    def made(called: str) -> Obj:
        meta: Obj = {"name": f"{flow.space}-{called}", "labels": {"wht": flow.space}}
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **body}

    for called in ("a", "b", "c"):
        await flow.client.create(kind, made(called), space)
    first = name(made("a"))
    found = await flow.client.get(kind, first, space)
    assert (found["kind"], found["apiVersion"]) == (kind.kind, kind.api_version)
    assert len((await flow.client.list(kind, space, label_selector=selector))["items"]) == 3
    listed = await flow.client.list(kind, label_selector=selector)
    assert len(listed["items"]) == 3
    version = resource_version(listed)

    marked = {"metadata": {"annotations": {"patched": "true"}}}
    found = await flow.client.patch(kind, first, {**marked, **change}, space)
    assert found["metadata"]["annotations"]["patched"] == "true"
    assert all(found[part] == value or part == "spec" for part, value in change.items())
    found["metadata"]["annotations"]["updated"] = "true"
    found = await flow.client.update(kind, found)
    assert found["metadata"]["annotations"]["updated"] == "true"
    if has_status:
        told = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}
        found = await flow.client.patch(kind, first, told, space, subresource="status")
        assert found["status"] == told["status"]
        found["status"]["loadBalancer"]["ingress"][0]["ip"] = "203.0.113.8"
        found = await flow.client.update(kind, found, subresource="status")
        assert found["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.8"
        assert (await flow.client.get(kind, first, space, "status"))["status"] == found["status"]
    await flow.client.delete(kind, first, space)
    await flow.gone(kind, first)
    assert len((await flow.client.list(kind, space, label_selector=selector))["items"]) == 2
    await flow.client.delete_collection(kind, space, label_selector=selector)

    # A watch from the first list on tells all of it, in order; loops may write besides (finalizers, say).
    events: list[str] = []
    watching: Any = flow.client.watch(kind, space, resource_version=version, label_selector=selector)
    async for event, obj in watching:
        events.append(f"{event} {name(obj)[-1]}" if event != "BOOKMARK" else event)
        if sum(each.startswith("DELETED") for each in events) == 3:
            break
    await watching.aclose()
    assert events[: events.index("DELETED a")].count("MODIFIED a") >= 2 + 2 * has_status
    assert {each for each in events if each.startswith("DELETED")} == {"DELETED a", "DELETED b", "DELETED c"}


async def a_pod_may_have_a_volume_of_a_driver(flow: Flow) -> None:
    """CSIVolumeSource in a pod, through all operations; no node ever finds its image."""
    spec = template("web:404")["spec"]
    spec["volumes"] = [{"name": "v", "csi": {"driver": "e2e.example.com", "readOnly": True}}]
    made = await flow.make(POD, "p", spec, labels={"wht": flow.space})
    assert [v["csi"] for v in made["spec"]["volumes"] if "csi" in v] == [
        {"driver": "e2e.example.com", "readOnly": True}
    ]
    patched = await flow.patch(POD, "p", {"metadata": {"labels": {"more": "patched"}}})
    assert [v for v in patched["spec"]["volumes"] if "csi" in v]
    await flow.client.delete_collection(POD, flow.space, label_selector=f"wht={flow.space}", grace_period=0)
    await flow.gone(POD, "p")


def test_services_and_kinds_that_only_keep(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            pods_of_a_service_are_in_endpoints_and_slices,
            endpoints_of_ones_own_are_mirrored,
            a_service_changes_its_type,
            the_status_of_a_service_takes_changes,
            every_operation_of_what_nobody_acts_on,
            a_pod_may_have_a_volume_of_a_driver,
        ),
    )
