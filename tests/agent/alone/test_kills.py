"""Kills of agent and containerd in the middle of start and stop leave nothing; kills beside running pods show nowhere.

The short form; `python -m benchmarks.kills` is the long one.
"""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from apimachinery.client import Client
from benchmarks.kills.inventory import Place
from benchmarks.kills.loops import Outcome, beside, in_the_middle
from benchmarks.up import wherry
from lab.paths import Paths

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("containerd"), reason="needs root and containerd"),
]
LAB = f"whtk{os.getpid() % 1000}"


def test_nothing_is_left_and_nothing_flaps() -> None:
    async def main() -> tuple[Outcome, Outcome]:
        paths = Paths(LAB)
        try:
            await wherry("up", "--name", LAB, "--nodes", "1")
            client = Client.from_kubeconfig(paths.kubeconfig)
            try:
                place = Place(paths, "node1")
                middle = await in_the_middle(client, place, 12, 7, print)
                return middle, await beside(client, place, 4, 7)
            finally:
                await client.close()
        finally:
            await wherry("down", "--name", LAB)

    middle, steady = asyncio.run(main())
    assert sum(middle.kills.values()) == 12
    assert not middle.left
    assert not steady.flaps
    assert (middle.restarts, steady.restarts) == ([], [])
