"""A container as the runtime is told of it."""

from __future__ import annotations

import pytest

from agent.containers.container_config import mount_message
from agent.cri.messages import pb
from agent.cri.model import Mount


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("None", pb.MountPropagation.PROPAGATION_PRIVATE),
        ("HostToContainer", pb.MountPropagation.PROPAGATION_HOST_TO_CONTAINER),
        ("Bidirectional", pb.MountPropagation.PROPAGATION_BIDIRECTIONAL),
    ],
)
def test_the_propagation_of_a_mount_is_asked_of_the_runtime(asked: str, told: int) -> None:
    assert mount_message(Mount("/in", "/on", propagation=asked)).propagation == told
