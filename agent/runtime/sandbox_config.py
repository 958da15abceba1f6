"""A pod as CRI PodSandboxConfig. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent import podspec
from agent.cri import names
from agent.cri.messages import pb
from agent.runtime import resources, security
from apimachinery.objects import Obj

_PROTOCOLS = {"TCP": pb.Protocol.TCP, "UDP": pb.Protocol.UDP, "SCTP": pb.Protocol.SCTP}


@dataclass(frozen=True)
class Dns:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class SandboxFacts:
    """What a sandbox needs to know beyond the pod itself."""

    dns: Dns
    hostname: str
    log_directory: str
    cgroup_parent: str
    attempt: int = 0


def sandbox_labels(pod: Obj) -> dict[str, str]:
    return {
        **(pod["metadata"].get("labels") or {}),
        names.POD_NAME: podspec.name(pod),
        names.POD_NAMESPACE: podspec.namespace(pod),
        names.POD_UID: podspec.uid(pod),
    }


def sysctl_name(name: str) -> str:
    """With dots for separators: where a slash stands first, dots are part of the names (net/ipv4/conf/eth0.1)."""
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        return name
    return name.translate(str.maketrans("./", "/."))


def _port_mappings(pod: Obj) -> list[Any]:
    mappings = []
    for container in (*podspec.init_containers(pod), *podspec.containers(pod)):
        init = podspec.is_init(pod, container["name"])
        if init and not podspec.is_sidecar(container):
            continue
        for port in container.get("ports") or ():
            # Upstream names no sidecar port; one with a host port would then never answer.
            if init and not port.get("hostPort"):
                continue
            mappings.append(
                pb.PortMapping(
                    protocol=_PROTOCOLS[port.get("protocol") or "TCP"],
                    container_port=port["containerPort"],
                    host_port=port.get("hostPort") or 0,
                    host_ip=port.get("hostIP") or "",
                )
            )
    return mappings


class SandboxConfigError(Exception):
    """The pod asks for what no sandbox of this node can be; the text is the user's."""


def sandbox_config(pod: Obj, facts: SandboxFacts) -> Any:
    """PodSandboxConfig; ``facts.hostname`` is left out for pods in the node's network. Raises SandboxConfigError."""
    if podspec.spec(pod).get("hostUsers") is False:
        # The node's own user namespace would be less than was asked for.
        raise SandboxConfigError("can't set `spec.hostUsers: false`, user namespaces are not supported on this node")
    own = not podspec.host_network(pod)
    limits = resources.pod_limits(pod)
    security_context = podspec.spec(pod).get("securityContext") or {}
    sysctls = {sysctl_name(s["name"]): s["value"] for s in security_context.get("sysctls") or ()}
    overhead = podspec.spec(pod).get("overhead")
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=podspec.name(pod),
            namespace=podspec.namespace(pod),
            uid=podspec.uid(pod),
            attempt=facts.attempt,
        ),
        hostname=facts.hostname if own else "",
        log_directory=facts.log_directory,
        dns_config=pb.DNSConfig(servers=facts.dns.servers, searches=facts.dns.searches, options=facts.dns.options),
        port_mappings=_port_mappings(pod),
        labels=sandbox_labels(pod),
        annotations=pod["metadata"].get("annotations") or {},
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=facts.cgroup_parent,
            security_context=security.sandbox_context(pod),
            sysctls=sysctls,
            overhead=_overhead(overhead),
            resources=_linux(limits),
        ),
    )


def _linux(limits: resources.Limits) -> Any:
    return pb.LinuxContainerResources(
        cpu_period=resources.PERIOD_US,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        memory_limit_in_bytes=limits.memory,
    )


def _overhead(overhead: Obj | None) -> Any:
    if not overhead:
        return pb.LinuxContainerResources()
    holder = {"spec": {"containers": [{"name": "", "resources": {"limits": overhead}}]}}
    return _linux(resources.pod_limits({"metadata": {}, **holder}))


@dataclass(frozen=True)
class ContainerFacts:
    """What a container needs to know beyond pod and specification. ``mounts`` are CRI Mount messages in
    order."""

    image: str
    """The image's id, what the runtime is told."""
    attempt: int
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    mounts: tuple[Any, ...] = ()
    memory_capacity: int = 0
    image_uid: int | None = None
    image_user: str = ""
    seccomp_root: str = ""
    seccomp_default: bool = False
    target_id: str = ""
    hugepage_sizes: tuple[str, ...] = field(default=())
    cgroup_v2: bool = False
    swap_counted: bool = True
