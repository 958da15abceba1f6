"""A pod as CRI PodSandboxConfig. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent import podspec
from agent.containers import security
from agent.cri import names
from agent.cri.messages import pb
from agent.cri.model import Limits
from agent.host import resources
from agent.host.dns import Resolver
from apimachinery.objects import Obj

_PROTOCOLS = {"TCP": pb.Protocol.TCP, "UDP": pb.Protocol.UDP, "SCTP": pb.Protocol.SCTP}


@dataclass(frozen=True)
class SandboxFacts:
    """What a sandbox needs to know beyond the pod itself."""

    dns: Resolver
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
    """PodSandboxConfig; `facts.hostname` is left out for pods in the node's network. Raises SandboxConfigError."""
    if podspec.spec(pod).get("hostUsers") is False:
        # The node's own user namespace would be less than was asked for.
        raise SandboxConfigError("can't set `spec.hostUsers: false`, user namespaces are not supported on this node")
    own = not podspec.host_network(pod)
    limits = resources.pod_limits(pod)
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
            sysctls=podspec.sysctls(pod),
            overhead=_overhead(overhead),
            resources=_linux(limits),
        ),
    )


def _linux(limits: Limits) -> Any:
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
