"""CRI answers as frozen records, credentials as CRI messages. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from agent.cri import names
from agent.cri.messages import pb
from agent.cri.model import (
    UNKNOWN_EXIT_CODE,
    Container,
    Credential,
    Image,
    Limits,
    RuntimeHandler,
    RuntimeInfo,
    Sandbox,
    State,
)
from agent.cri.stable import stable

_STATES = {
    pb.ContainerState.CONTAINER_CREATED: State.CREATED,
    pb.ContainerState.CONTAINER_RUNNING: State.RUNNING,
    pb.ContainerState.CONTAINER_EXITED: State.EXITED,
}


# What containerd notes of a start whose caller went away in the middle, in Go's words; its shim is killed then, too.
_START_ERROR, _CALLER_LEFT = "StartError", ("context canceled", "failed to start shim: start failed: : signal: killed")


def listed_sandbox(item: Any) -> Sandbox:
    return Sandbox(
        id=item.id,
        uid=item.metadata.uid,
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        attempt=item.metadata.attempt,
        ready=item.state == pb.PodSandboxState.SANDBOX_READY,
        created_at=item.created_at,
    )


def sandbox(status: Any) -> Sandbox:
    options = status.linux.namespaces.options
    ips = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
    return Sandbox(
        id=status.id,
        uid=status.metadata.uid,
        namespace=status.metadata.namespace,
        name=status.metadata.name,
        attempt=status.metadata.attempt,
        ready=status.state == pb.PodSandboxState.SANDBOX_READY,
        created_at=status.created_at,
        host_network=options.network == pb.NamespaceMode.NODE,
        ips=tuple(ip for ip in ips if ip),
    )


def sandbox_image(told: str) -> str:
    """Of what containerd tells beside a sandbox's status, a JSON object of its own."""
    try:
        found = json.loads(told)
    except ValueError:
        return ""
    return str(found.get("image") or "") if isinstance(found, dict) else ""


def takes_cdi(version: Any, config: str) -> bool:
    """By what containerd tells of its configuration; where it says nothing of CDI, by its version (from 1.7 on)."""
    if version.runtime_name != "containerd":
        return True
    try:
        told = json.loads(config)
    except ValueError:
        told = {}
    said = told.get("enableCDI") if isinstance(told, dict) else None
    numbers = tuple(map(int, re.findall(r"\d+", version.runtime_version)[:2]))
    return bool(said) if said is not None else numbers >= (1, 7)


def _restart_count(item: Any) -> int:
    text = item.annotations.get(names.CONTAINER_RESTART_COUNT, "")
    return int(text) if text.isdigit() else int(item.metadata.attempt)


def listed_container(item: Any) -> Container:
    return Container(
        id=item.id,
        sandbox_id=item.pod_sandbox_id,
        pod_uid=item.labels.get(names.POD_UID, ""),
        pod_namespace=item.labels.get(names.POD_NAMESPACE, ""),
        pod_name=item.labels.get(names.POD_NAME, ""),
        name=item.labels.get(names.CONTAINER_NAME, "") or item.metadata.name,
        attempt=_restart_count(item),
        state=_STATES.get(item.state, State.UNKNOWN),
        created_at=item.created_at,
        image=item.image.image,
        image_ref=item.image_ref,
        hash=item.annotations.get(names.CONTAINER_HASH, ""),
        annotations=dict(item.annotations),
    )


def _cut_off(status: Any) -> bool:
    """A start that was cut off is no end: a container whose process was never on record is still one that waits to be
    run, or else a restart would be counted that nobody saw, and a pod that restarts nothing would have failed."""
    if status.state != pb.ContainerState.CONTAINER_EXITED or status.started_at:
        return False
    left = status.reason == _START_ERROR and any(text in status.message for text in _CALLER_LEFT)
    return left or bool(status.exit_code == UNKNOWN_EXIT_CODE)


def _limits(status: Any) -> Limits | None:
    if not status.HasField("resources") or not status.resources.HasField("linux"):
        return None
    told = status.resources.linux
    # Whoever has no limit is told so as 0 or as -1.
    return Limits(told.cpu_shares, max(0, told.cpu_quota), max(0, told.memory_limit_in_bytes))


def container(status: Any) -> Container:
    message_path = status.annotations.get(names.CONTAINER_TERMINATION_PATH, "")
    cut_off = _cut_off(status)
    host_path = next((m.host_path for m in status.mounts if m.container_path == message_path), "")
    return Container(
        id=status.id,
        sandbox_id="",
        pod_uid=status.labels.get(names.POD_UID, ""),
        pod_namespace=status.labels.get(names.POD_NAMESPACE, ""),
        pod_name=status.labels.get(names.POD_NAME, ""),
        name=status.labels.get(names.CONTAINER_NAME, "") or status.metadata.name,
        attempt=_restart_count(status),
        state=State.CREATED if cut_off else _STATES.get(status.state, State.UNKNOWN),
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=stable(status.message),
        image=status.image.image,
        image_ref=status.image_ref,
        image_id=status.image_id or status.image_ref,
        hash=status.annotations.get(names.CONTAINER_HASH, ""),
        log_path=status.log_path,
        termination_host_path=host_path if message_path else "",
        recursive_mounts=frozenset(m.container_path for m in status.mounts if m.recursive_read_only),
        annotations=dict(status.annotations),
        limits=_limits(status),
        cut_off=cut_off,
    )


def image(item: Any) -> Image:
    return Image(item.id, item.uid.value if item.HasField("uid") else None, item.username, item.size)


def runtime_info(version: Any, answer: Any) -> RuntimeInfo:
    """Of a VersionResponse and a StatusResponse."""
    status = answer.status
    conditions = {c.type: c for c in status.conditions}

    def holds(kind: str) -> bool:
        return kind in conditions and bool(conditions[kind].status)

    problems = [
        f"{c.type}={str(bool(c.status)).lower()} reason:{c.reason} message:{stable(c.message)}"
        for c in status.conditions
        if not c.status
    ]
    return RuntimeInfo(
        name=version.runtime_name,
        version=version.runtime_version,
        ready=holds("RuntimeReady"),
        network_ready=holds("NetworkReady"),
        message=", ".join(problems),
        handlers=tuple(
            RuntimeHandler(h.name, h.features.recursive_read_only_mounts, h.features.user_namespaces)
            for h in answer.runtime_handlers
        ),
        strict_groups=answer.features.supplemental_groups_policy if answer.HasField("features") else None,
    )


def auth_config(credential: Credential | None) -> Any:
    if credential is None:
        return None
    return pb.AuthConfig(
        username=credential.username,
        password=credential.password,
        auth=credential.auth,
        server_address=credential.server_address,
        identity_token=credential.identity_token,
        registry_token=credential.registry_token,
    )
