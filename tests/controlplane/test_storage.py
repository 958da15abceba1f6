"""Claims and volumes with the real API server, binder, scheduler and provisioner; nodes that pretend."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from apimachinery.kinds import (
    EVENT,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
)
from apimachinery.objects import Obj, labels, name
from controlplane.controllers.localpath.plan import VOLUME
from lab.storage import storage_class
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play, pod


def claim(name: str, storage_class: str | None = None, **spec: Any) -> Obj:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    wanted |= {} if storage_class is None else {"storageClassName": storage_class}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": wanted}


def volume(name: str, storage_class: str = "", **spec: Any) -> Obj:
    given = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}}
    kind = {"apiVersion": "v1", "kind": "PersistentVolume"}
    return {**kind, "metadata": {"name": name}, "spec": {**given, "storageClassName": storage_class, **spec}}


def user(pod_name: str, claim_name: str) -> Obj:
    return pod(pod_name, volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}])


async def phase(at: Stage, which: str) -> str:
    return str((await at.client.get(PERSISTENT_VOLUME_CLAIM, which, "default"))["status"]["phase"])


async def volumes(at: Stage) -> dict[str, str]:
    return {name(v): v["status"]["phase"] for v in (await at.client.list(PERSISTENT_VOLUME))["items"]}


async def told(at: Stage) -> set[str]:
    return {e["reason"] for e in (await at.client.list(EVENT))["items"]}


async def is_(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)


def test_claims_get_volumes_and_let_them_go(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        client = at.client
        await client.create(PERSISTENT_VOLUME_CLAIM, claim("early", ""))
        await client.create(PERSISTENT_VOLUME, volume("one"))
        await at.until(lambda: is_(phase(at, "early"), "Bound"))
        assert await volumes(at) == {"one": "Bound"}
        await client.create(PERSISTENT_VOLUME_CLAIM, claim("late", ""))
        await at.until(lambda: is_(phase(at, "late"), "Pending"))
        await client.delete(PERSISTENT_VOLUME_CLAIM, "early", "default")
        await at.until(lambda: is_(volumes(at), {"one": "Released"}))
        await client.patch(PERSISTENT_VOLUME, "one", {"spec": {"claimRef": None}})
        await at.until(lambda: is_(phase(at, "late"), "Bound"))
        await client.create(POD, user("p", "late"))
        await at.until(lambda: [name(p) for p in at.ready_pods()] == ["p"])
        await client.delete(PERSISTENT_VOLUME, "one")
        assert (await client.get(PERSISTENT_VOLUME, "one"))["metadata"]["deletionTimestamp"]

    play(tmp_path, scenario, nodes=1)


def test_a_hundred_claims_and_as_many_volumes_through_kills(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        for number in range(40):
            await at.client.create(PERSISTENT_VOLUME, volume(f"v{number}"))
            await at.client.create(PERSISTENT_VOLUME_CLAIM, claim(f"c{number}", ""))
            if number in (10, 25):
                await at.kill_loops()
                await at.start_loops()

        async def all_bound() -> bool:
            found = (await at.client.list(PERSISTENT_VOLUME_CLAIM, "default"))["items"]
            return all(c["status"]["phase"] == "Bound" for c in found) and set((await volumes(at)).values()) == {
                "Bound"
            }

        await at.until(all_bound)
        found = (await at.client.list(PERSISTENT_VOLUME_CLAIM, "default"))["items"]
        assert len({c["spec"]["volumeName"] for c in found}) == 40

    play(tmp_path, scenario, nodes=0)


def test_the_scheduler_chooses_the_volume_with_the_node(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        static = {**storage_class(), "metadata": {"name": "static"}, "provisioner": "kubernetes.io/no-provisioner"}
        await at.client.create(STORAGE_CLASS, static)
        for number in (2, 3):
            term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [f"node{number}"]}
            affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
            await at.client.create(PERSISTENT_VOLUME, volume(f"v{number}", "static", nodeAffinity=affinity))
        await at.until(lambda: is_(volumes(at), {"v2": "Available", "v3": "Available"}))
        for number in range(3):
            await at.client.create(PERSISTENT_VOLUME_CLAIM, claim(f"c{number}", "static"))
            await at.client.create(POD, user(f"p{number}", f"c{number}"))
        await at.until(lambda: len(at.ready_pods()) == 2)
        assert {p["spec"]["nodeName"] for p in at.ready_pods()} == {"node2", "node3"}

        async def refused() -> bool:
            events = (await at.client.list(EVENT, "default"))["items"]
            return any("3 node(s) didn't find available persistent volumes to bind" in e["message"] for e in events)

        await at.until(refused)
        assert await volumes(at) == {"v2": "Bound", "v3": "Bound"}

    play(tmp_path, scenario)


def test_volumes_of_nodes_are_made_bound_and_removed(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.make_volumes()
        now = {
            **storage_class(),
            "metadata": {"name": "now"},
            "volumeBindingMode": "Immediate",
            "reclaimPolicy": "Retain",
        }
        await at.client.create(STORAGE_CLASS, now)
        # The default class.
        await at.client.create(PERSISTENT_VOLUME_CLAIM, claim("waits"))
        await at.client.create(PERSISTENT_VOLUME_CLAIM, claim("now", "now"))
        await at.until(lambda: is_(phase(at, "now"), "Bound"))
        assert await phase(at, "waits") == "Pending"
        await at.client.create(POD, user("p", "waits"))
        await at.until(lambda: "p" in {name(p) for p in at.ready_pods()})
        bound = (await at.client.get(PERSISTENT_VOLUME_CLAIM, "waits", "default"))["spec"]["volumeName"]
        made = await at.client.get(PERSISTENT_VOLUME, bound)
        (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        (here,) = (p["spec"]["nodeName"] for p in at.pods.items() if name(p) == "p")
        assert term["matchExpressions"][0]["values"] == [here]
        assert made["spec"]["local"]["path"] == f"/volumes/{here}/{bound}"
        await at.client.delete(POD, "p", "default", grace_period=0)
        for which in ("waits", "now"):
            await at.client.delete(PERSISTENT_VOLUME_CLAIM, which, "default")

        async def left() -> bool:
            return list((await volumes(at)).values()) == ["Released"]

        await at.until(left)
        await at.until(lambda: not [p for p in at.pods.items() if VOLUME in labels(p)])
        assert {"ProvisioningSucceeded", "Provisioning", "ExternalProvisioning"} <= await told(at)

    play(tmp_path, scenario, local_path_directory="/volumes/{node}")


def test_a_killed_provisioner_makes_each_volume_once(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.make_volumes()
        template = {"spec": claim("x")["spec"]}
        scratch = [{"name": "s", "ephemeral": {"volumeClaimTemplate": template}}]
        for number in range(4):
            await at.client.create(POD, pod(f"p{number}", volumes=scratch))
            await asyncio.sleep(0.05)
            await at.kill_loops()
            await at.start_loops(local_path_directory="/volumes")
        await at.until(lambda: len(at.ready_pods()) == 4)
        assert list((await volumes(at)).values()) == ["Bound"] * 4
        for number in range(4):
            await at.client.delete(POD, f"p{number}", "default", grace_period=0)
        await at.until(lambda: is_(volumes(at), {}))

    play(tmp_path, scenario, local_path_directory="/volumes")


def test_volumes_of_drivers_are_attached_where_they_are_needed_and_nowhere_else(tmp_path: Path) -> None:
    driver = {"driver": "csi.example", "volumeHandle": "vol-1"}
    unique = "kubernetes.io/csi/csi.example^vol-1"

    async def scenario(at: Stage) -> None:
        client = at.client

        async def attachments() -> dict[str, bool]:
            found = (await client.list(VOLUME_ATTACHMENT))["items"]
            return {a["spec"]["nodeName"]: bool((a.get("status") or {}).get("attached")) for a in found}

        async def attached_at(node: str) -> list[str]:
            status = (await client.get(NODE, node))["status"]
            return [volume["name"] for volume in status.get("volumesAttached") or ()]

        async def driver_attaches(node: str) -> None:
            (found,) = [a for a in (await client.list(VOLUME_ATTACHMENT))["items"] if a["spec"]["nodeName"] == node]
            done = {"status": {"attached": True}}
            await client.patch(VOLUME_ATTACHMENT, name(found), done, subresource="status")

        async def is_refused() -> bool:
            text = "Volume is already used by pod(s) first"
            return any(text in e["message"] for e in (await client.list(EVENT, "default"))["items"])

        mark = {"metadata": {"annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}}}
        for node in ("node1", "node2"):
            await client.patch(NODE, node, mark)
        wanted = volume("v", csi=driver)
        del wanted["spec"]["hostPath"]
        await client.create(PERSISTENT_VOLUME, wanted)
        await client.create(PERSISTENT_VOLUME_CLAIM, claim("c", ""))
        await at.until(lambda: is_(phase(at, "c"), "Bound"))
        first, second = user("first", "c"), user("second", "c")
        first["spec"]["nodeName"], second["spec"]["nodeName"] = "node1", "node2"
        await client.create(POD, first)
        await at.until(lambda: is_(attachments(), {"node1": False}))
        assert await attached_at("node1") == []
        await driver_attaches("node1")
        await at.until(lambda: is_(attached_at("node1"), [unique]))
        in_use: Obj = {"status": {"volumesInUse": [unique]}}
        await client.patch(NODE, "node1", in_use, subresource="status")
        await client.create(POD, second)
        await at.until(is_refused)
        # Nobody needs it on the first node any more, but it is mounted there until the node says otherwise.
        await client.delete(POD, "first", "default", grace_period=0)
        await at.until(lambda: "first" not in {name(p) for p in at.pods.items()})
        assert await attachments() == {"node1": True}
        await client.patch(NODE, "node1", {"status": {"volumesInUse": None}}, subresource="status")
        await at.until(lambda: is_(attachments(), {"node2": False}))
        assert await attached_at("node1") == []
        await driver_attaches("node2")
        await at.until(lambda: is_(attached_at("node2"), [unique]))
        # A node that is out of service loses it, whatever it has mounted.
        await client.patch(NODE, "node2", in_use, subresource="status")
        await client.delete(POD, "second", "default", grace_period=0)
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute", "value": "nodeshutdown"}
        await client.patch(NODE, "node2", {"spec": {"taints": [taint]}})
        await at.until(lambda: is_(attachments(), {}))
        await at.until(lambda: is_(attached_at("node2"), []))

    play(tmp_path, scenario, nodes=2)
