"""Reading a pod's specification; upstream's defaults where a manifest says nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.cri.names import CONFIG_SOURCE
from apimachinery.objects import Obj
from apimachinery.pods import images

DEFAULT_GRACE_SECONDS = 30
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"


def name(pod: Obj) -> str:
    return str(pod["metadata"]["name"])


def namespace(pod: Obj) -> str:
    return str(pod["metadata"].get("namespace", "default"))


def uid(pod: Obj) -> str:
    return str(pod["metadata"].get("uid", ""))


def full_name(pod: Obj) -> str:
    """`name_namespace(uid)`, as in upstream's messages."""
    return f"{name(pod)}_{namespace(pod)}({uid(pod)})"


def spec(pod: Obj) -> Obj:
    return pod.get("spec") or {}


def containers(pod: Obj) -> list[Obj]:
    return spec(pod).get("containers") or []


def init_containers(pod: Obj) -> list[Obj]:
    return spec(pod).get("initContainers") or []


def ephemeral_containers(pod: Obj) -> list[Obj]:
    return spec(pod).get("ephemeralContainers") or []


def all_containers(pod: Obj) -> Iterator[Obj]:
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def find_container(pod: Obj, container_name: str) -> Obj | None:
    return next((c for c in all_containers(pod) if c["name"] == container_name), None)


def is_sidecar(container: Obj) -> bool:
    """A restartable init container."""
    return container.get("restartPolicy") == "Always"


def is_init(pod: Obj, container_name: str) -> bool:
    return any(c["name"] == container_name for c in init_containers(pod))


def restart_policy(pod: Obj, container: Obj | None = None) -> str:
    """Always | OnFailure | Never; a container's own policy (KEP-5307) goes before the pod's."""
    own = (container or {}).get("restartPolicy")
    return str(own or spec(pod).get("restartPolicy") or "Always")


def host_network(pod: Obj) -> bool:
    return bool(spec(pod).get("hostNetwork"))


def host_ipc(pod: Obj) -> bool:
    return bool(spec(pod).get("hostIPC"))


def is_static(pod: Obj) -> bool:
    source = (pod["metadata"].get("annotations") or {}).get(CONFIG_SOURCE)
    return source is not None and source != "api"


def critical(pod: Obj) -> bool:
    """A pod that others must make room for: static, or of a system-critical priority."""
    return is_static(pod) or (spec(pod).get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY


def deleting(pod: Obj) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def grace_seconds(pod: Obj) -> int:
    """The specification's grace period; deletion may override it."""
    value = spec(pod).get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_SECONDS if value is None else int(value)


def pull_policy(container: Obj) -> str:
    """Always | IfNotPresent | Never; defaulted by the tag as the API server does."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    return images.pull_policy(str(container.get("image", "")))


def apparmor_profile(pod: Obj, container: Obj) -> Obj | None:
    """A container's AppArmorProfile: its own, else the annotation's (of a manifest that met no API server), else the
    pod's."""
    own: Obj | None = (container.get("securityContext") or {}).get("appArmorProfile")
    if own is not None:
        return own
    text = (pod["metadata"].get("annotations") or {}).get(f"{APPARMOR_PREFIX}{container['name']}", "")
    if text in ("runtime/default", "unconfined"):
        return {"type": "RuntimeDefault" if text == "runtime/default" else "Unconfined"}
    if text.startswith("localhost/"):
        return {"type": "Localhost", "localhostProfile": text.removeprefix("localhost/")}
    held: Obj | None = (spec(pod).get("securityContext") or {}).get("appArmorProfile")
    return held


def fs_group(pod: Obj) -> int | None:
    """The group that owns the pod's volumes, if any."""
    group = (spec(pod).get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def fs_group_change_policy(pod: Obj) -> str:
    """Always | OnRootMismatch: when the files of persistent volumes are given to that group."""
    return str((spec(pod).get("securityContext") or {}).get("fsGroupChangePolicy") or "Always")


def message_path(container: Obj) -> str:
    return str(container.get("terminationMessagePath") or "/dev/termination-log")


def message_policy(container: Obj) -> str:
    return str(container.get("terminationMessagePolicy") or "File")


def sysctls(pod: Obj) -> dict[str, str]:
    """The kernel parameters that the pod sets, by their names with dots."""
    return {sysctl_name(s["name"]): s["value"] for s in (spec(pod).get("securityContext") or {}).get("sysctls") or ()}


def sysctl_name(name: str) -> str:
    """With dots for separators: where a slash stands first, dots are part of the names (net/ipv4/conf/eth0.1)."""
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        return name
    return name.translate(str.maketrans("./", "/."))
