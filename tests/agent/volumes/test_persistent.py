"""Claims as volumes: what a claim leads to, why it leads nowhere, and a node's directory bound into a pod's."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.failures import VolumeError
from agent.objects.cache import Objects
from agent.objects.claims import Claims
from agent.settings import AgentSettings
from agent.volumes import persistent
from agent.volumes.host import Volumes
from agent.volumes.persistent import Local, PersistentVolumeClaim, own
from agent.volumes.plugin import Volume, VolumePlan
from apimachinery import errors
from apimachinery.kinds import PERSISTENT_VOLUME_CLAIM, Kind
from apimachinery.kit import mounts
from apimachinery.volumes.claims import Use


class Server:
    """One claim and one volume; `away`: it cannot be reached."""

    def __init__(self, claim: dict[str, Any] | None, volume: dict[str, Any] | None = None) -> None:
        self.found = {"claim": claim, "volume": volume}
        self.asked = 0
        self.away = False

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise errors.Unreachable("away")
        found = self.found["claim" if kind is PERSISTENT_VOLUME_CLAIM else "volume"]
        if found is None:
            raise errors.not_found(kind.plural, name)
        return found


def claim(phase: str = "Bound", **metadata: Any) -> dict[str, Any]:
    meta = {"name": "data", "namespace": "ns", "uid": "c", **metadata}
    return {"metadata": meta, "spec": {"volumeName": "v"}, "status": {"phase": phase}}


def volume(uid: str = "c", **spec: Any) -> dict[str, Any]:
    given = spec or {"local": {"path": "/there"}}
    return {"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": uid}, "accessModes": ["ReadWriteOnce"], **given}}


def pod(**source: Any) -> dict[str, Any]:
    named = source or {"persistentVolumeClaim": {"claimName": "data"}}
    mount = {"name": "d", "mountPath": "/d"}
    spec = {"volumes": [{"name": "d", **named}], "containers": [{"name": "c", "volumeMounts": [mount]}]}
    return {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec}


def asked(server: Server, use: Use | None = None) -> dict[str, Any]:
    claims = Claims(server)  # type: ignore[arg-type]
    return asyncio.run(claims.volume(pod(), use or Use("d", "data")))


NOWHERE = [
    (Server(None), 'failed to fetch PVC from API server: persistentvolumeclaims "data" not found'),
    (Server(claim("Pending")), "error processing PVC ns/data: PVC is not bound"),
    (Server(claim(deletionTimestamp="2026-01-01T00:00:00Z")), "PVC is being deleted"),
    (Server(claim()), "failed to fetch PV v from API server"),
    (Server(claim(), volume("older")), 'PV v is bound to another claim than ns/data ("older")'),
]


@pytest.mark.parametrize(("server", "text"), NOWHERE)
def test_why_a_claim_leads_nowhere(server: Server, text: str) -> None:
    with pytest.raises(VolumeError) as caught:
        asked(server)
    assert text in str(caught.value)


def test_another_pods_ephemeral_claim_is_refused() -> None:
    use = Use("d", "data", ephemeral=True)
    with pytest.raises(VolumeError, match=r"PVC ns/data was not created for pod ns/p \(pod is not owner\)"):
        asked(Server(claim(), volume()), use)
    owner = {"uid": "u", "controller": True}
    assert asked(Server(claim(ownerReferences=[owner]), volume()), use)["metadata"]["name"] == "v"


def test_a_known_volume_is_there_while_the_server_is_away() -> None:
    async def scenario() -> None:
        server = Server(claim(), volume())
        claims = Claims(server)  # type: ignore[arg-type]
        await claims.volume(pod(), Use("d", "data"))
        server.away = True
        assert (await claims.volume(pod(), Use("d", "data")))["metadata"]["name"] == "v"
        assert server.asked == 2
        claims.release("u")
        with pytest.raises(VolumeError, match="away"):
            await claims.volume(pod(), Use("d", "data"))

    asyncio.run(scenario())


def resolved(there: dict[str, Any], body: dict[str, Any] | None = None, node: dict[str, Any] | None = None) -> Volume:
    objects = Objects(None, "n")
    objects.claims = Claims(Server(claim(), there))  # type: ignore[arg-type]
    objects.node = lambda: node  # type: ignore[method-assign]
    body = body or pod()
    meant = Volume("d", "persistentVolumeClaim", {})
    return asyncio.run(PersistentVolumeClaim().resolve(body, meant, objects))


def test_what_a_claim_leads_to() -> None:
    assert resolved(volume()) == Volume("d", "local", {"path": "/there"})
    path = {"path": "/x", "type": ""}
    assert resolved(volume(hostPath=path, nfs=None)) == Volume("d", "hostPath", path)
    assert resolved(volume(csi={"driver": "x"}, mountOptions=["ro"])).kind == "csi"
    assert resolved(volume(local={"path": "/x"}, accessModes=["ReadOnlyMany"])).read_only
    assert resolved(volume(), pod(persistentVolumeClaim={"claimName": "data", "readOnly": True})).read_only


def test_a_volume_of_another_node_and_a_block_device_are_refused() -> None:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["m"]}]}
    there = volume(local={"path": "/x"}, nodeAffinity={"required": {"nodeSelectorTerms": [term]}})
    here = {"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}}
    with pytest.raises(VolumeError, match='NodeAffinity check failed for volume "v" : no matching NodeSelectorTerms'):
        resolved(there, node=here)
    here["metadata"]["labels"] = {"kubernetes.io/hostname": "m"}
    assert resolved(there, node=here).kind == "local"
    with pytest.raises(VolumeError, match="volume d has volumeMode Block, but is specified in volumeMounts"):
        resolved(volume(local={"path": "/dev/x"}, volumeMode="Block"))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for point in mounts.mount_points(tmp_path):
        mounts.unmount(point)


@pytest.mark.kernel
def test_a_nodes_directory_is_the_pods_and_outlives_it(root: Path) -> None:
    data = root / "data"
    data.mkdir()
    (data / "old").write_text("kept")
    objects = Objects(None, "n")
    objects.claims = Claims(Server(claim(), volume(local={"path": str(data)})))  # type: ignore[arg-type]
    body = pod()
    body["spec"]["securityContext"] = {"fsGroup": 4242}

    async def scenario() -> None:
        volumes = Volumes(AgentSettings(node_name="n", root_dir=root / "agent"), objects)
        await volumes.prepare(body)
        await volumes.prepare(body)
        (mount,) = await volumes.mounts(body, body["spec"]["containers"][0], {})
        inside = Path(mount.host_path)
        assert (inside / "old").read_text() == "kept"
        assert (inside / "old").stat().st_gid == 4242
        (inside / "new").write_text("made")
        assert len(mounts.mount_points(root)) == 1
        await volumes.teardown("u")
        assert not mounts.mount_points(root)
        assert not inside.exists()

    asyncio.run(scenario())
    assert sorted(p.name for p in data.iterdir()) == ["new", "old"]
    data.rename(root / "elsewhere")

    async def missing() -> None:
        volumes = Volumes(AgentSettings(node_name="n", root_dir=root / "agent"), objects)
        with pytest.raises(VolumeError, match=f'path "{data}" does not exist'):
            await volumes.prepare(body)

    asyncio.run(missing())


def test_nobody_waits_for_the_files_of_a_large_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are given to the pod's group beside the loop, and before the pod gets to see them."""
    turned, order = threading.Event(), []
    monkeypatch.setattr(persistent, "own", lambda *_: order.append(("turned", turned.wait(2))))
    monkeypatch.setattr(mounts, "mount", lambda *_, **__: order.append(("mounted", True)))
    body = pod()
    body["spec"]["securityContext"] = {"fsGroup": 4242}
    plan = VolumePlan("d", "local", {"path": str(tmp_path)}, tmp_path / "in")

    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(turned.set)
        await Local().set_up(body, plan, Objects(None, "n"))

    asyncio.run(scenario())
    assert order == [("turned", True), ("mounted", True)]


def test_a_file_that_goes_while_the_group_is_given_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").touch(mode=0o600)
    monkeypatch.setattr(os, "walk", lambda path: [(str(path), ["gone"], ["gone", "there"])])
    own(tmp_path, os.getgid(), "Always")
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o660


@pytest.mark.kernel
def test_the_group_is_given_again_only_where_the_pod_says_so(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    own(tmp_path, 4242, "OnRootMismatch")
    assert (tmp_path / "f").stat().st_gid == 4242
    os.chown(tmp_path / "f", -1, 0)
    own(tmp_path, 4242, "OnRootMismatch")
    assert (tmp_path / "f").stat().st_gid == 0
    own(tmp_path, 4242, "Always")
    assert (tmp_path / "f").stat().st_gid == 4242
