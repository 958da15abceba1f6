"""Node status as a list of small functions; pure but for the node they are given to change.

Reasons and messages are those clients match on; source:
https://kubernetes.io/docs/reference/node/node-status/ .
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.node.facts import MachineFacts
from agent.seams import ImageInfo, Obj, RuntimeInfo

KUBELET_VERSION = "v1.36.2+wherry"
MAX_IMAGES = 50
MAX_NAMES_PER_IMAGE = 5
# Upstream's default hard eviction threshold memory.available<100Mi is taken off what pods may use.
EVICTION_MEMORY = 100 * 1024 * 1024
# ... and nodefs.available<10%.
EVICTION_DISK_PERCENT = 10


@dataclass(frozen=True)
class Observation:
    """Everything one status is computed from. `now` is RFC 3339, seconds."""

    now: str
    facts: MachineFacts
    runtime: RuntimeInfo | None
    """None: the runtime does not answer."""
    unhealthy: str = ""
    """Why the sync loop is unhealthy, or empty."""
    images: tuple[ImageInfo, ...] = ()
    addresses: tuple[str, ...] = ()
    node_name: str = ""
    port: int = 10250
    max_pods: int = 110


Setter = Callable[[Obj, Observation], None]


def set_addresses(status: Obj, seen: Observation) -> None:
    """InternalIP of each address, then the host name."""
    addresses = [{"type": "InternalIP", "address": address} for address in seen.addresses]
    status["addresses"] = [*addresses, {"type": "Hostname", "address": seen.node_name}]


def set_capacity(status: Obj, seen: Observation) -> None:
    """Capacity, and allocatable with the default eviction thresholds taken off."""
    facts = seen.facts
    pages = {f"hugepages-{size}": str(amount) for size, amount in facts.huge_pages.items()}
    status["capacity"] = {
        "cpu": str(facts.cpus),
        "ephemeral-storage": f"{facts.disk // 1024}Ki",
        **pages,
        "memory": f"{facts.memory // 1024}Ki",
        "pods": str(seen.max_pods),
    }
    # Huge pages are taken out of ordinary memory when the kernel reserves them.
    memory = facts.memory - EVICTION_MEMORY - sum(facts.huge_pages.values())
    status["allocatable"] = {
        **status["capacity"],
        "ephemeral-storage": str(facts.disk * (100 - EVICTION_DISK_PERCENT) // 100),
        "memory": f"{max(memory, 0) // 1024}Ki",
    }


def set_info(status: Obj, seen: Observation) -> None:
    """nodeInfo; the runtime's version stays as last known while it does not answer."""
    facts, old = seen.facts, status.get("nodeInfo", {})
    version = f"{seen.runtime.name}://{seen.runtime.version}" if seen.runtime else ""
    status["nodeInfo"] = {
        "architecture": facts.architecture,
        "bootID": facts.boot_id,
        "containerRuntimeVersion": version or old.get("containerRuntimeVersion", "containerd://Unknown"),
        "kernelVersion": facts.kernel,
        # Required by the schema; kubelets since 1.33 know nothing to put there.
        "kubeProxyVersion": "",
        "kubeletVersion": KUBELET_VERSION,
        "machineID": facts.machine_id,
        "operatingSystem": "linux",
        "osImage": facts.os_image,
        "swap": {"capacity": facts.swap},
        "systemUUID": facts.system_uuid,
    }


def set_endpoints(status: Obj, seen: Observation) -> None:
    """Where the agent's own API listens."""
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": seen.port}}


def set_images(status: Obj, seen: Observation) -> None:
    """The largest images, as many as upstream reports."""
    largest = sorted(seen.images, key=lambda image: (-image.size, image.names))[:MAX_IMAGES]
    status["images"] = [
        {"names": list(image.names[:MAX_NAMES_PER_IMAGE]), "sizeBytes": image.size} for image in largest
    ]


def set_memory_pressure(status: Obj, seen: Observation) -> None:
    """MemoryPressure; eviction is off, so nothing ever raises it."""
    _condition(
        status,
        seen,
        "MemoryPressure",
        "False",
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
    )


def set_disk_pressure(status: Obj, seen: Observation) -> None:
    """DiskPressure, as above."""
    _condition(status, seen, "DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")


def set_pid_pressure(status: Obj, seen: Observation) -> None:
    """PIDPressure, as above."""
    _condition(
        status,
        seen,
        "PIDPressure",
        "False",
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
    )


def set_ready(status: Obj, seen: Observation) -> None:
    """Ready; must be the last condition, for readers that only look there."""
    errors = not_ready_reasons(seen)
    if errors:
        _condition(status, seen, "Ready", "False", "KubeletNotReady", ", ".join(errors))
    else:
        _condition(status, seen, "Ready", "True", "KubeletReady", "kubelet is posting ready status")


def not_ready_reasons(seen: Observation) -> list[str]:
    """Why pods cannot run here now, in upstream's words."""
    reasons = []
    if seen.runtime is None:
        reasons.append("container runtime is down")
    elif not seen.runtime.ready:
        reasons.append(seen.runtime.message or "container runtime not ready")
    elif not seen.runtime.network_ready:
        text = seen.runtime.message or "NetworkReady=false"
        prefix = "container runtime network not ready: "
        reasons.append(text if text.startswith(prefix) else prefix + text)
    if seen.unhealthy:
        reasons.append(seen.unhealthy)
    return reasons


SETTERS: tuple[Setter, ...] = (
    set_addresses,
    set_capacity,
    set_info,
    set_endpoints,
    set_images,
    set_memory_pressure,
    set_disk_pressure,
    set_pid_pressure,
    set_ready,
)


def _condition(status: Obj, seen: Observation, kind: str, value: str, reason: str, message: str) -> None:
    conditions = status.setdefault("conditions", [])
    old = next((c for c in conditions if c.get("type") == kind), None)
    changed = old is None or old.get("status") != value
    transition = seen.now if changed or old is None else old.get("lastTransitionTime", seen.now)
    new = {
        "type": kind,
        "status": value,
        "lastHeartbeatTime": seen.now,
        "lastTransitionTime": transition,
        "reason": reason,
        "message": message,
    }
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new
