"""A container as CRI ContainerConfig. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from agent import podspec
from agent.containers import security
from agent.cri import names
from agent.cri.messages import pb
from agent.cri.model import Mount
from agent.devices.cdi import Edits
from agent.devices.plugin_messages import Given
from agent.failures import ConfigError
from agent.host import resources
from apimachinery import quantity
from apimachinery.objects import Obj

_PROPAGATION = {
    "None": pb.MountPropagation.PROPAGATION_PRIVATE,
    "HostToContainer": pb.MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.MountPropagation.PROPAGATION_BIDIRECTIONAL,
}
# ContainerPort's field order: some readers of the annotation compare text.
_PORT_FIELDS = ("name", "hostPort", "containerPort", "protocol", "hostIP")


@dataclass(frozen=True)
class Hardware:
    """`memory` in bytes; `hugepage_sizes` as ("2MB", "1GB"); `swap_counted`: cgroups can limit swap."""

    memory: int = 0
    hugepage_sizes: tuple[str, ...] = ()
    cgroup_v2: bool = False
    swap_counted: bool = True


@dataclass(frozen=True)
class ContainerFacts:
    """What a container needs to know beyond pod and specification. `mounts` are CRI Mount messages in
    order."""

    image: str
    """The image's id, what the runtime is told."""
    attempt: int
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    mounts: tuple[Any, ...] = ()
    hardware: Hardware = field(default_factory=Hardware)
    image_uid: int | None = None
    image_user: str = ""
    seccomp_root: str = ""
    seccomp_default: bool = False
    target_id: str = ""
    given: Given = field(default_factory=Given)
    """What comes with the devices of plugins, but for their CDI devices."""
    cdi: tuple[str, ...] = ()
    """Names of CDI devices, for a runtime that knows them."""
    edits: Edits = field(default_factory=Edits)
    """What they come to, for one that does not."""


def container_hash(container: Obj) -> str:
    """Changes when the container must be replaced: only the image can change in a living pod. Resources are
    left out (they change in place)."""
    picked = {"name": container["name"], "image": container.get("image", "")}
    return hashlib.sha256(orjson.dumps(picked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]


def container_labels(pod: Obj, container: Obj) -> dict[str, str]:
    return {
        names.POD_NAME: podspec.name(pod),
        names.POD_NAMESPACE: podspec.namespace(pod),
        names.POD_UID: podspec.uid(pod),
        names.CONTAINER_NAME: container["name"],
    }


def container_annotations(pod: Obj, container: Obj, attempt: int) -> dict[str, str]:
    """All that a restarted agent must know to go on, and to stop the container when its pod is gone."""
    found = {
        names.CONTAINER_HASH: container_hash(container),
        names.CONTAINER_RESTART_COUNT: str(attempt),
        names.CONTAINER_TERMINATION_PATH: podspec.message_path(container),
        names.CONTAINER_TERMINATION_POLICY: podspec.message_policy(container),
        names.POD_TERMINATION_GRACE_PERIOD: str(podspec.grace_seconds(pod)),
    }
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    if grace is not None:
        found[names.POD_DELETION_GRACE_PERIOD] = str(grace)
    if pre_stop := (container.get("lifecycle") or {}).get("preStop"):
        found[names.CONTAINER_PRE_STOP] = orjson.dumps(pre_stop).decode()
    if ports := container.get("ports"):
        shaped = [_port(port) for port in ports]
        found[names.CONTAINER_PORTS] = orjson.dumps(shaped).decode()
    return found


def _port(port: Obj) -> Obj:
    full = {"protocol": "TCP", **port}
    return {key: full[key] for key in _PORT_FIELDS if full.get(key)}


def mount_message(mount: Mount) -> Any:
    """One mount as CRI wants it."""
    message = pb.Mount(
        container_path=mount.container_path,
        host_path=mount.host_path,
        readonly=mount.read_only,
        propagation=_PROPAGATION.get(mount.propagation, pb.MountPropagation.PROPAGATION_PRIVATE),
        recursive_read_only=mount.recursive_read_only,
        selinux_relabel=mount.selinux_relabel,
    )
    if mount.image:
        message.image.image = mount.image
        message.image_sub_path = mount.image_sub_path
    return message


def _hugepages(container: Obj, sizes: tuple[str, ...]) -> list[Any]:
    """One entry per page size the node has; zero where nothing is granted."""
    limits = (container.get("resources") or {}).get("limits") or {}
    granted = {}
    for key, text in limits.items():
        if key.startswith("hugepages-"):
            size = quantity.parse(key.removeprefix("hugepages-")).value()
            granted[_page_text(size)] = quantity.parse(text).value()
    return [pb.HugepageLimit(page_size=size, limit=granted.get(size, 0)) for size in sizes]


def _unified(facts: Hardware) -> dict[str, str]:
    """Files of cgroup v2 that CRI has no field for: no swap, and a container that runs out of memory ends whole."""
    if not facts.cgroup_v2:
        return {}
    return {"memory.oom.group": "1", **({"memory.swap.max": "0"} if facts.swap_counted else {})}


def _page_text(size: int) -> str:
    """2097152 → `2MB`, as the kernel's hugetlb controller spells it."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= factor:
            return f"{size // factor}{unit}"
    return f"{size}B"


def linux_resources(pod: Obj, container: Obj, hardware: Hardware) -> Any:
    """LinuxContainerResources: of a start, and of a change while the container runs."""
    limits = resources.container_limits(pod, container)
    return pb.LinuxContainerResources(
        cpu_period=resources.PERIOD_US,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        memory_limit_in_bytes=limits.memory,
        # Version 1 limits memory and swap together: no swap is one limit for both.
        memory_swap_limit_in_bytes=limits.memory if hardware.swap_counted and not hardware.cgroup_v2 else 0,
        unified=_unified(hardware),
        oom_score_adj=resources.oom_score_adj(pod, container, hardware.memory),
        hugepage_limits=_hugepages(container, hardware.hugepage_sizes),
    )


def container_config(pod: Obj, container: Obj, facts: ContainerFacts) -> Any:
    """ContainerConfig for one start of `container`. Raises ConfigError where it must not be started like this."""
    if refusal := security.root_refusal(pod, container, facts.image_uid, facts.image_user):
        raise ConfigError(refusal)
    edits, given = facts.edits, facts.given
    # A container's own variables go before a plugin's, and CDI's before both.
    env = {**dict(given.env), **dict(facts.env), **dict(edits.env)}
    nodes, mounts = (*given.nodes, *edits.nodes), (*given.mounts, *edits.mounts)
    message = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=container["name"], attempt=facts.attempt),
        image=pb.ImageSpec(image=facts.image, user_specified_image=container.get("image", "")),
        command=facts.command,
        args=facts.args,
        working_dir=container.get("workingDir") or "",
        envs=[pb.KeyValue(key=key, value=value) for key, value in env.items()],
        mounts=[*facts.mounts, *(mount_message(Mount(inside, path, ro)) for inside, path, ro in mounts)],
        devices=[pb.Device(container_path=inside, host_path=path, permissions=may) for inside, path, may in nodes],
        CDI_devices=[pb.CDIDevice(name=name) for name in facts.cdi],
        labels=container_labels(pod, container),
        annotations={**dict(given.annotations), **container_annotations(pod, container, facts.attempt)},
        log_path=f"{container['name']}/{facts.attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=pb.LinuxContainerConfig(
            resources=linux_resources(pod, container, facts.hardware),
            security_context=security.container_context(
                pod,
                container,
                image_uid=facts.image_uid,
                image_user=facts.image_user,
                seccomp_root=facts.seccomp_root,
                seccomp_default=facts.seccomp_default,
                target_id=facts.target_id,
            ),
        ),
    )
    message.linux.security_context.supplemental_groups.extend(edits.groups)
    return message
