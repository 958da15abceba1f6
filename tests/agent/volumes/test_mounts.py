"""Volumes that need the kernel: tmpfs, bind mounts, owners."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.objects.cache import Objects
from agent.settings import AgentSettings
from agent.volumes import subpath
from agent.volumes.host import Volumes
from apimachinery.kit import mounts

pytestmark = pytest.mark.kernel


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for point in mounts.mount_points(tmp_path):
        mounts.unmount(point)


def pod(*volumes: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "ns", "uid": "u", "labels": {"x": "y"}}
    return {"metadata": meta, "spec": {"volumes": list(volumes), "containers": [], **spec}}


def host(root: Path) -> Volumes:
    return Volumes(AgentSettings(node_name="n", root_dir=root), Objects(None, "n"))


def test_memory_volumes_are_tmpfs_of_the_limit_and_leave_nothing(root: Path) -> None:
    body = pod(
        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {
            "name": "d",
            "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
        securityContext={"fsGroup": 4242},
    )

    async def scenario() -> None:
        volumes = host(root)
        await volumes.prepare(body)
        await volumes.prepare(body)
        memory = root / "pods/u/volumes/kubernetes.io~empty-dir/m"
        downward = root / "pods/u/volumes/kubernetes.io~downward-api/d"
        size = os.statvfs(memory)
        assert size.f_blocks * size.f_frsize == 1 << 20
        assert memory.stat().st_gid == 4242
        assert memory.stat().st_mode & stat.S_ISGID
        assert (downward / "l").read_text() == 'x="y"'
        assert ((downward / "l").stat().st_gid, stat.S_IMODE((downward / "l").stat().st_mode)) == (
            4242,
            0o644,
        )
        assert len(mounts.mount_points(root)) == 2
        await host(root).teardown("u")
        assert mounts.mount_points(root) == []
        assert not (root / "pods/u/volumes").exists()

    asyncio.run(scenario())


def test_subpaths_are_bound_made_and_follow_links_inside_the_volume(root: Path) -> None:
    body = pod({"name": "e", "emptyDir": {}})
    container = {
        "name": "c",
        "volumeMounts": [
            {"name": "e", "mountPath": "/a", "subPath": "x/y"},
            {"name": "e", "mountPath": "/b", "subPath": "link"},
        ],
    }

    async def scenario() -> None:
        volumes = host(root)
        await volumes.prepare(body)
        volume = root / "pods/u/volumes/kubernetes.io~empty-dir/e"
        (volume / "real").write_text("data")
        (volume / "link").symlink_to("real")
        for _ in range(2):
            first, second = await volumes.mounts(body, container, {})
        assert first.host_path == str(root / "pods/u/volume-subpaths/e/c/0")
        Path(first.host_path, "new").write_text("1")
        assert (volume / "x/y/new").read_text() == "1"
        assert stat.S_IMODE((volume / "x/y").stat().st_mode) == 0o777
        assert Path(second.host_path).read_text() == "data"
        # Bound twice would stay mounted once.
        assert len(mounts.mount_points(root)) == 2
        await volumes.teardown("u")
        assert mounts.mount_points(root) == []
        assert not list((root / "pods/u").iterdir())

    asyncio.run(scenario())


def test_a_replaced_subpath_is_bound_anew(root: Path) -> None:
    volume, target = root / "v", root / "t"
    (volume / "one").mkdir(parents=True)
    subpath.bind(volume, "one", target)
    (volume / "one").rename(volume / "old")
    (volume / "one").write_text("file now")
    subpath.bind(volume, "one", target)
    assert target.read_text() == "file now"
    mounts.unmount(target)
