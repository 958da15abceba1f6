"""What a containerd that was killed between its two records of a snapshot forgets is collected."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from agent.cri.client import CriClient
from agent.leftovers.collect import Leftovers
from tests.agent.alone.rig import Containerd
from tests.waiting import SECONDS

pytestmark = pytest.mark.node


def snapshots(containerd: Containerd) -> set[Path]:
    return set((containerd.base / "root").glob("io.containerd.snapshotter.v1.*/snapshots/*"))


def test_a_snapshot_that_only_the_snapshotter_knows_goes(containerd: Containerd) -> None:
    """Containerd deletes a snapshot from its own records first, and then has its snapshotter delete it: killed in
    between, it never asks again by itself. So do directories of which not even the snapshotter knows any more."""

    async def collect() -> None:
        runtime = CriClient(containerd.socket)
        try:
            await asyncio.wait_for(Leftovers(runtime.containerd, None, frozenset).collect(), SECONDS)
        finally:
            await runtime.close()

    records = containerd.base / "root/io.containerd.metadata.v1.bolt/meta.db"
    before = snapshots(containerd)
    containerd.kill()
    shutil.copy(records, records.with_suffix(".before"))
    containerd.start()
    snapshotter = next(iter(before)).parents[1].name.rpartition(".")[2]
    containerd.ctr("snapshots", "--snapshotter", snapshotter, "prepare", "wht-lost")
    lost = snapshots(containerd) - before
    assert len(lost) == 1
    cut_off = next(iter(before)).with_name("99")
    cut_off.mkdir()
    containerd.kill()
    records.with_suffix(".before").replace(records)
    containerd.start()
    assert snapshots(containerd) >= lost | {cut_off}, "containerd collects it by itself: nothing to do"
    asyncio.run(collect())
    assert snapshots(containerd) == before
