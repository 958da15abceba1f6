"""What a lab's cloud says of its nodes, with one family of addresses and with both."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from controlplane.cloud.interface import CloudError
from lab import state
from lab.cloud.balancers import pool_of
from lab.cloud.instances import LabInstances, instance
from lab.paths import Paths
from lab.spec import Spec
from tests.lab.test_spec import make

NODE_CIDRS = ("10.89.0.0/24", "10.89.0.0/24,fd00:89::/64")


def lab(node_cidr: str = NODE_CIDRS[0]) -> Spec:
    return dataclasses.replace(make(name="whtcl"), node_cidr=node_cidr)


def node(name: str, provider: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"providerID": provider} if provider else {}}


def test_addresses_are_those_that_the_node_tells_itself() -> None:
    """Else the two would overwrite each other."""
    found = [[each["address"] for each in instance(lab(r), lab(r).nodes[0]).addresses] for r in NODE_CIDRS]
    assert found == [["10.89.0.11", "node1"], ["10.89.0.11", "fd00:89::b", "node1"]]


def test_load_balancers_have_a_pool_of_each_family_beside_every_node_there_can_be() -> None:
    assert [str(each) for each in pool_of(lab())] == ["10.89.0.21 to 10.89.0.254"]
    four, six = pool_of(lab(NODE_CIDRS[1]))
    assert (str(four), str(six)) == ("10.89.0.21 to 10.89.0.254", "fd00:89::15 to fd00:89::1:15")
    (small,) = pool_of(lab("10.89.0.0/27"))
    assert str(small) == "10.89.0.21 to 10.89.0.30"


def test_nodes_of_others_are_not_judged(tmp_path: Path) -> None:
    async def scenario() -> None:
        paths = Paths("whtcl", tmp_path)
        instances = LabInstances(paths)
        with pytest.raises(CloudError, match="not described"):
            await instances.exists(node("node1", "lab://whtcl/node1"))
        state.save(paths, lab().switched("node2", True))
        assert await instances.exists(node("node1", "lab://whtcl/node1"))
        assert not await instances.exists(node("node9", "lab://whtcl/node9"))
        assert await instances.is_shut_down(node("node2", "lab://whtcl/node2"))
        assert not await instances.is_shut_down(node("node1", "lab://whtcl/node1"))
        for theirs in (node("node1"), node("x", "lab://other/node1"), node("x", "aws:///zone/i-1")):
            with pytest.raises(CloudError, match="is no machine of lab://whtcl/"):
                await instances.exists(theirs)
        described = await instances.describe(node("node1"))
        assert described is not None and described.provider_id == "lab://whtcl/node1"
        assert (described.zone, described.region) == ("whtcl-1", "whtcl")
        with pytest.raises(CloudError, match="has no node x"):
            await instances.describe(node("x"))

    asyncio.run(scenario())
