"""Security contexts as CRI messages. Pure; a container's own fields go before its pod's."""

from __future__ import annotations

from typing import Any

from agent import podspec
from agent.cri.messages import pb
from apimachinery.objects import Obj

# What /proc and /sys show to an ordinary container; procMount: Unmasked shows all.
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_PROFILES = {
    "RuntimeDefault": pb.SecurityProfile.RuntimeDefault,
    "Unconfined": pb.SecurityProfile.Unconfined,
    "Localhost": pb.SecurityProfile.Localhost,
}


def _pod_context(pod: Obj) -> Obj:
    return podspec.spec(pod).get("securityContext") or {}


def namespace_options(pod: Obj, target_id: str = "") -> Any:
    """`target_id`: the container whose process namespace an ephemeral container joins."""
    spec = podspec.spec(pod)
    node, pod_wide, own = pb.NamespaceMode.NODE, pb.NamespaceMode.POD, pb.NamespaceMode.CONTAINER
    pid = node if spec.get("hostPID") else pod_wide if spec.get("shareProcessNamespace") else own
    if target_id:
        pid = pb.NamespaceMode.TARGET
    return pb.NamespaceOption(
        network=node if spec.get("hostNetwork") else pod_wide,
        ipc=node if spec.get("hostIPC") else pod_wide,
        pid=pid,
        target_id=target_id,
        userns_options=pb.UserNamespace(mode=node),
    )


def _selinux(options: Obj | None) -> Any:
    if not options:
        return None
    return pb.SELinuxOption(**{key: options.get(key, "") for key in ("user", "role", "type", "level")})


def _groups(context: Obj) -> list[int]:
    groups = [context["fsGroup"]] if context.get("fsGroup") is not None else []
    return [*groups, *(context.get("supplementalGroups") or ())]


def _groups_policy(context: Obj) -> Any:
    strict = context.get("supplementalGroupsPolicy") == "Strict"
    policy = pb.SupplementalGroupsPolicy
    return policy.Strict if strict else policy.Merge


def _int64(value: int | None) -> Any:
    return None if value is None else pb.Int64Value(value=value)


def sandbox_context(pod: Obj) -> Any:
    """LinuxSandboxSecurityContext: privileged where any container is; the pause itself runs under the
    runtime's own seccomp profile."""
    context = _pod_context(pod)
    privileged = any((c.get("securityContext") or {}).get("privileged") for c in podspec.all_containers(pod))
    return pb.LinuxSandboxSecurityContext(
        namespace_options=namespace_options(pod),
        privileged=privileged,
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
        selinux_options=_selinux(context.get("seLinuxOptions")),
        run_as_user=_int64(context.get("runAsUser")),
        run_as_group=_int64(context.get("runAsGroup")),
        supplemental_groups=_groups(context),
        supplemental_groups_policy=_groups_policy(context),
    )


def _profile(profile: Obj | None, local_prefix: str = "") -> Any:
    if not profile:
        return None
    kind = profile.get("type", "Unconfined")
    reference = profile.get("localhostProfile", "") if kind == "Localhost" else ""
    return pb.SecurityProfile(profile_type=_PROFILES[kind], localhost_ref=local_prefix + reference if reference else "")


def _apparmor_text(profile: Any) -> str:
    """The older string form some runtimes still read."""
    if profile.profile_type == pb.SecurityProfile.RuntimeDefault:
        return "runtime/default"
    if profile.profile_type == pb.SecurityProfile.Unconfined:
        return "unconfined"
    return f"localhost/{profile.localhost_ref}"


def _run_as(context: Obj, image_uid: int | None, image_user: str) -> dict[str, Any]:
    """The container's user: stated, else the image's."""
    if context.get("runAsUser") is not None:
        return {"run_as_user": pb.Int64Value(value=context["runAsUser"])}
    if image_user:
        return {"run_as_username": image_user}
    return {"run_as_user": pb.Int64Value(value=image_uid or 0)}


def container_context(
    pod: Obj,
    container: Obj,
    *,
    image_uid: int | None = None,
    image_user: str = "",
    seccomp_root: str = "",
    seccomp_default: bool = False,
    target_id: str = "",
) -> Any:
    """LinuxContainerSecurityContext. `image_uid`/`image_user`: whom the image would run as;
    `seccomp_root`: where Localhost profiles lie, with a trailing slash; `seccomp_default`: the runtime's
    profile where neither container nor pod names one (a privileged container runs unconfined whatever is said)."""
    pod_context, own = _pod_context(pod), container.get("securityContext") or {}
    inherited = ("runAsUser", "runAsGroup", "seLinuxOptions", "seccompProfile")
    merged = {**{k: pod_context[k] for k in inherited if pod_context.get(k) is not None}, **own}
    capabilities = merged.get("capabilities")
    unmasked = merged.get("procMount") == "Unmasked"
    fallback = "RuntimeDefault" if seccomp_default else "Unconfined"
    message = pb.LinuxContainerSecurityContext(
        namespace_options=namespace_options(pod, target_id),
        privileged=bool(merged.get("privileged")),
        readonly_rootfs=bool(merged.get("readOnlyRootFilesystem")),
        no_new_privs=merged.get("allowPrivilegeEscalation") is False and not merged.get("privileged"),
        selinux_options=_selinux(merged.get("seLinuxOptions")),
        run_as_group=_int64(merged.get("runAsGroup")),
        supplemental_groups=_groups(pod_context),
        supplemental_groups_policy=_groups_policy(pod_context),
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
        seccomp=_profile(merged.get("seccompProfile") or {"type": fallback}, seccomp_root),
        **_run_as(merged, image_uid, image_user),
    )
    if capabilities:
        message.capabilities.add_capabilities.extend(capabilities.get("add") or ())
        message.capabilities.drop_capabilities.extend(capabilities.get("drop") or ())
    if apparmor := _profile(podspec.apparmor_profile(pod, container)):
        message.apparmor.CopyFrom(apparmor)
        message.apparmor_profile = _apparmor_text(apparmor)
    return message


def root_refusal(pod: Obj, container: Obj, image_uid: int | None, image_user: str) -> str:
    """Why `runAsNonRoot` forbids the container; empty when it does not."""
    pod_context, own = _pod_context(pod), container.get("securityContext") or {}
    non_root = own.get("runAsNonRoot", pod_context.get("runAsNonRoot"))
    if not non_root:
        return ""
    where = f'(pod: "{podspec.full_name(pod)}", container: {container["name"]})'
    stated = own.get("runAsUser", pod_context.get("runAsUser"))
    if stated is not None:
        return f"container's runAsUser breaks non-root policy {where}" if stated == 0 else ""
    if image_user:
        text = f"container has runAsNonRoot and image has non-numeric user ({image_user})"
        return f"{text}, cannot verify user is non-root {where}"
    if not image_uid:
        return f"container has runAsNonRoot and image will run as root {where}"
    return ""
