"""Node status as a list of small functions; pure but for the node they are given to change.

Reasons and messages are those clients match on; source:
https://kubernetes.io/docs/reference/node/node-status/ .
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.cri.model import ImageInfo, RuntimeInfo
from agent.node.facts import MachineFacts
from apimachinery.conditions import dated, placed
from apimachinery.objects import Obj
from apimachinery.pods.requests import is_extended
from apimachinery.pods.totals import HUGE_PAGES, is_huge_page
from apimachinery.version import GIT_VERSION

MAX_IMAGES = 50
MAX_NAMES_PER_IMAGE = 5
# Upstream's default hard eviction threshold memory.available<100Mi is taken off what pods may use.
EVICTION_MEMORY = 100 * 1024 * 1024
# ... and nodefs.available<10%.
EVICTION_DISK_PERCENT = 10
# Upstream's names, sorted; only what this agent does.
DECLARED_FEATURES = ("ExtendWebSocketsToKubelet", "RestartAllContainersOnContainerExits")


@dataclass(frozen=True)
class Observation:
    """Everything one status is computed from. `now` is RFC 3339, seconds."""

    now: str
    facts: MachineFacts
    runtime: RuntimeInfo | None
    """None: the runtime does not answer."""
    in_grace: bool = False
    """It has not been silent for long enough to be called down."""
    unhealthy: str = ""
    """Why the sync loop is unhealthy, or empty."""
    images: tuple[ImageInfo, ...] | None = ()
    """None: not known now."""
    addresses: tuple[str, ...] = ()
    node_name: str = ""
    port: int = 10250
    max_pods: int = 110
    devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Capacity and allocatable of the resources of device plugins."""


Setter = Callable[[Obj, Observation], None]


def set_addresses(status: Obj, seen: Observation) -> None:
    """InternalIP of each address, then the host name; other types (ExternalIP …) are others' to say."""
    addresses = [{"type": "InternalIP", "address": address} for address in seen.addresses]
    foreign = [a for a in status.get("addresses") or () if a.get("type") not in ("InternalIP", "Hostname")]
    status["addresses"] = [*addresses, {"type": "Hostname", "address": seen.node_name}, *foreign]


def set_capacity(status: Obj, seen: Observation) -> None:
    """Capacity, and allocatable with the default eviction thresholds taken off.

    What others announce (extended resources) stays, and is allocatable in full for as long as they do:
    https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/ .
    """
    facts = seen.facts
    pages = {f"{HUGE_PAGES}{size}": str(amount) for size, amount in facts.huge_pages.items()}
    own = {
        "cpu": str(facts.cpus),
        "ephemeral-storage": f"{facts.disk // 1024}Ki",
        **pages,
        "memory": f"{facts.memory // 1024}Ki",
        "pods": str(seen.max_pods),
        **{resource: str(amount) for resource, (amount, _) in seen.devices.items()},
    }
    capacity = {**own, **_foreign(status.get("capacity") or {}, own)}
    # Allocatable without a capacity is a leftover, but for what upstream does not count itself (attachable volumes).
    kept = {k: v for k, v in (status.get("allocatable") or {}).items() if k in capacity or not is_extended(k)}
    # Huge pages are taken out of ordinary memory when the kernel reserves them.
    memory = facts.memory - EVICTION_MEMORY - sum(facts.huge_pages.values())
    status["capacity"] = capacity
    status["allocatable"] = {
        **_foreign(kept, own),
        **capacity,
        "ephemeral-storage": str(facts.disk * (100 - EVICTION_DISK_PERCENT) // 100),
        "memory": f"{max(memory, 0) // 1024}Ki",
        **{resource: str(healthy) for resource, (_, healthy) in seen.devices.items()},
    }


def _foreign(amounts: Obj, own: Obj) -> Obj:
    """What is not the agent's. Page sizes are, also those the kernel no longer has."""
    return {name: amount for name, amount in amounts.items() if name not in own and not is_huge_page(name)}


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
        "kubeletVersion": GIT_VERSION,
        "machineID": facts.machine_id,
        "operatingSystem": "linux",
        "osImage": facts.os_image,
        "systemUUID": facts.system_uuid,
    }
    if facts.swap:
        # The API takes no 0 here: a machine without swap says nothing.
        status["nodeInfo"]["swap"] = {"capacity": facts.swap}


def set_endpoints(status: Obj, seen: Observation) -> None:
    """Where the agent's own API listens."""
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": seen.port}}


def set_features(status: Obj, seen: Observation) -> None:
    """What agent and runtime can do, for schedulers that place by it (KEP-5328); as last known while the runtime
    does not answer.
    """
    status["declaredFeatures"] = list(DECLARED_FEATURES)
    if seen.runtime is None:
        return
    if seen.runtime.strict_groups is not None:
        status["features"] = {"supplementalGroupsPolicy": seen.runtime.strict_groups}
    if seen.runtime.handlers:
        status["runtimeHandlers"] = [
            {
                "name": handler.name,
                "features": {
                    "recursiveReadOnlyMounts": handler.recursive_read_only,
                    "userNamespaces": handler.user_namespaces,
                },
            }
            for handler in seen.runtime.handlers
        ]


def set_images(status: Obj, seen: Observation) -> None:
    """The largest images, as many as upstream reports."""
    if seen.images is None:
        status.setdefault("images", [])
        return
    largest = sorted(seen.images, key=lambda image: (-image.size, image.names))[:MAX_IMAGES]
    status["images"] = [
        {"names": list(image.names[:MAX_NAMES_PER_IMAGE]), "sizeBytes": image.size} for image in largest
    ]


def set_memory_pressure(status: Obj, seen: Observation) -> None:
    """MemoryPressure; nobody is evicted for it, so nothing ever raises it."""
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
    """Ready; must be the last condition, for readers that only look there. An agent that was restarted and has not
    heard of the runtime yet lets stand what was said before."""
    errors = not_ready_reasons(seen)
    said = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    if seen.runtime is None and seen.in_grace and not seen.unhealthy and said is not None:
        _condition(status, seen, "Ready", said["status"], said.get("reason", ""), said.get("message", ""))
        return
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
    set_features,
    set_images,
    set_memory_pressure,
    set_disk_pressure,
    set_pid_pressure,
    set_ready,
)


def _condition(status: Obj, seen: Observation, kind: str, value: str, reason: str, message: str) -> None:
    conditions = status.get("conditions") or ()
    new = {"type": kind, "status": value, "lastHeartbeatTime": seen.now, "reason": reason, "message": message}
    status["conditions"] = placed(conditions, dated(conditions, new, seen.now))
