"""A container as the runtime is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.containers.container_config import ContainerFacts, Hardware, container_config, linux_resources, mount_message
from agent.cri.messages import pb
from agent.cri.model import Mount
from agent.failures import ConfigError
from agent.host import resources
from tests.agent.harness import container, pod


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


@pytest.mark.parametrize(
    ("pod_says", "own", "image", "refused"),
    [
        ({}, {}, {}, ""),
        ({"runAsNonRoot": True}, {}, {}, "image will run as root"),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, {}, ""),
        ({}, {"runAsNonRoot": True}, {"image_uid": 0}, "image will run as root"),
        ({}, {"runAsNonRoot": True}, {"image_uid": 7}, ""),
        ({}, {"runAsNonRoot": True}, {"image_user": "web"}, "image has non-numeric user \\(web\\)"),
        ({"runAsUser": 0}, {"runAsNonRoot": True}, {"image_uid": 7}, "runAsUser breaks non-root policy"),
        ({"runAsUser": 0}, {"runAsNonRoot": True, "runAsUser": 7}, {}, ""),
    ],
)
def test_who_must_not_be_root_is_not_started_as_root(
    pod_says: dict[str, Any], own: dict[str, Any], image: dict[str, Any], refused: str
) -> None:
    made = pod(containers=[container("c", securityContext=own)], securityContext=pod_says)
    facts = ContainerFacts(image="i", attempt=0, **image)
    if not refused:
        assert container_config(made, made["spec"]["containers"][0], facts).metadata.name == "c"
        return
    with pytest.raises(ConfigError, match=refused):
        container_config(made, made["spec"]["containers"][0], facts)


@pytest.mark.parametrize("much", ["100E", "1e30", "8Ei"])
def test_more_than_the_runtime_can_be_told_is_as_much_as_it_can(much: str) -> None:
    most = (1 << 63) - 1
    made = pod(containers=[container(name, resources={"limits": {"cpu": much, "memory": much}}) for name in "cd"])
    told = linux_resources(made, made["spec"]["containers"][0], Hardware(cgroup_v2=True))
    assert (told.memory_limit_in_bytes, told.cpu_quota) == (most, most)
    held = resources.pod_limits(made)
    assert (held.memory, held.cpu_quota) == (most, most)
