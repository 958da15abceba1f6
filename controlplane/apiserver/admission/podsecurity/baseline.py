"""The checks of the baseline level: known ways out of a container."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.objects import Obj
from controlplane.apiserver.admission.podsecurity.findings import (
    Check,
    Finding,
    containers,
    in_user_namespace,
    named,
    names,
    pair,
    security,
    setters,
    several,
    those,
)

_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_APP_ARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD, _SECCOMP = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
CONFINED = ("RuntimeDefault", "Localhost")
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t")
_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
)
_KEEPALIVE = tuple(
    f"net.ipv4.tcp_{what}" for what in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")
)


def app_armor(metadata: Obj, spec: Obj) -> Finding | None:
    def value(context: Obj) -> str | None:
        profile = context.get("appArmorProfile")
        return None if profile is None else profile.get("type") or ""

    def wrong(context: Obj) -> bool:
        return value(context) is not None and value(context) not in CONFINED

    of_pod, bad = wrong(security(spec)), those(spec, wrong)
    values = {value(security(holder)) or "" for holder in (spec, *containers(spec)) if wrong(security(holder))}
    annotated = sorted(
        pair(key, profile)
        for key, profile in (metadata.get("annotations") or {}).items()
        if key.startswith(_APP_ARMOR_ANNOTATION) and not _plain_profile(profile)
    )
    who = [*([setters(of_pod, bad)] if of_pod or bad else [])]
    if annotated:
        who.append(several("annotation", len(annotated)))
    if not who:
        return None
    shown = [*sorted(values), *annotated]
    reason = several("forbidden AppArmor profile", len(shown))
    return Finding(reason, f"{' and '.join(who)} must not set AppArmor profile type to {names(shown)}")


def _plain_profile(profile: str) -> bool:
    return profile in ("", "runtime/default") or profile.startswith("localhost/")


def capabilities(metadata: Obj, spec: Obj) -> Finding | None:
    def added(context: Obj) -> set[str]:
        return set((context.get("capabilities") or {}).get("add") or ()) - _CAPABILITIES

    bad = those(spec, added)
    if not bad:
        return None
    found = sorted({one for container in containers(spec) for one in added(security(container))})
    detail = f"{named('container', bad)} must not include {names(found)} in securityContext.capabilities.add"
    return Finding("non-default capabilities", detail)


def host_namespaces(metadata: Obj, spec: Obj) -> Finding | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Finding("host namespaces", ", ".join(shared)) if shared else None


def host_paths(metadata: Obj, spec: Obj) -> Finding | None:
    bad = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Finding("hostPath volumes", named("volume", bad)) if bad else None


def host_ports(metadata: Obj, spec: Obj) -> Finding | None:
    taken = {c["name"]: [p["hostPort"] for p in c.get("ports") or () if p.get("hostPort")] for c in containers(spec)}
    bad = [name for name, ports in taken.items() if ports]
    if not bad:
        return None
    ports = sorted({str(port) for listed in taken.values() for port in listed})
    use = "uses" if len(bad) == 1 else "use"
    return Finding("hostPort", f"{named('container', bad)} {use} {several('hostPort', len(ports))} {', '.join(ports)}")


def probe_hosts(metadata: Obj, spec: Obj) -> Finding | None:
    """Probes and hooks that the node would send elsewhere than to the pod."""
    called = {container["name"]: set(_hosts(container)) for container in containers(spec)}
    bad = sorted(name for name, hosts in called.items() if hosts)
    if not bad:
        return None
    hosts = sorted({host for found in called.values() for host in found})
    use, what = "uses" if len(bad) == 1 else "use", several("probe or lifecycle host", len(hosts))
    return Finding("probe or lifecycle host", f"{named('container', bad)} {use} {what} {names(hosts)}")


def _hosts(container: Obj) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    probes = [container.get(f"{what}Probe") for what in ("liveness", "readiness", "startup")]
    for handler in (*probes, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for action in ("httpGet", "tcpSocket"):
            if host := ((handler or {}).get(action) or {}).get("host"):
                yield host


def privileged(metadata: Obj, spec: Obj) -> Finding | None:
    bad = those(spec, lambda context: context.get("privileged"))
    detail = f"{named('container', bad)} must not set securityContext.privileged=true"
    return Finding("privileged", detail) if bad else None


def proc_mount(metadata: Obj, spec: Obj) -> Finding | None:
    def wrong(context: Obj) -> bool:
        return context.get("procMount") not in (None, "Default")

    bad = those(spec, wrong)
    if not bad:
        return None
    values = sorted({security(c)["procMount"] for c in containers(spec) if wrong(security(c))})
    return Finding("procMount", f"{named('container', bad)} must not set securityContext.procMount to {names(values)}")


def proc_mount_outside_user_namespaces(metadata: Obj, spec: Obj) -> Finding | None:
    return None if in_user_namespace(spec) else proc_mount(metadata, spec)


def selinux(types: tuple[str, ...]) -> Check:
    """Which SELinux types there may be; users and roles never."""

    def check(metadata: Obj, spec: Obj) -> Finding | None:
        def wrong(context: Obj) -> bool:
            given = context.get("seLinuxOptions") or {}
            return (given.get("type") or "") not in types or bool(given.get("user") or given.get("role"))

        of_pod, bad = wrong(security(spec)), those(spec, wrong)
        if not of_pod and not bad:
            return None
        given = [security(holder).get("seLinuxOptions") or {} for holder in (spec, *containers(spec))]
        odd = sorted({options.get("type") or "" for options in given} - set(types))
        data = [f"{several('type', len(odd))} {names(odd)}"] if odd else []
        data += [f"{key} may not be set" for key in ("user", "role") if any(options.get(key) for options in given)]
        detail = f"{setters(of_pod, bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
        return Finding("seLinuxOptions", detail)

    return check


selinux_1_0 = selinux(_SELINUX_TYPES)
selinux_1_31 = selinux((*_SELINUX_TYPES, "container_engine_t"))


def seccomp_annotations(metadata: Obj, spec: Obj) -> Finding | None:
    annotations = metadata.get("annotations") or {}
    keys = [_SECCOMP_POD, *(_SECCOMP + container["name"] for container in containers(spec))]
    found = sorted({pair(key, annotations[key]) for key in keys if key in annotations and not _safe(annotations[key])})
    detail = f"forbidden {several('annotation', len(found))} {', '.join(found)}"
    return Finding("seccompProfile", detail) if found else None


def _safe(profile: str) -> bool:
    return profile in ("runtime/default", "docker/default") or profile.startswith("localhost/")


def unconfined(context: Obj) -> bool:
    """Whether a seccomp profile is named that is none."""
    profile = context.get("seccompProfile")
    return profile is not None and profile.get("type") not in CONFINED


def seccomp(metadata: Obj, spec: Obj) -> Finding | None:
    of_pod, bad = unconfined(security(spec)), those(spec, unconfined)
    if not of_pod and not bad:
        return None
    contexts = [security(holder) for holder in (spec, *containers(spec))]
    values = sorted({context["seccompProfile"].get("type") or "" for context in contexts if unconfined(context)})
    detail = f"{setters(of_pod, bad)} must not set securityContext.seccompProfile.type to {names(values)}"
    return Finding("seccompProfile", detail)


def sysctls(safe: tuple[str, ...]) -> Check:
    def check(metadata: Obj, spec: Obj) -> Finding | None:
        bad = [one["name"] for one in security(spec).get("sysctls") or () if one.get("name") not in safe]
        return Finding("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


sysctls_1_0 = sysctls(_SYSCTLS)
sysctls_1_27 = sysctls((*_SYSCTLS, "net.ipv4.ip_local_reserved_ports"))
sysctls_1_29 = sysctls((*_SYSCTLS, "net.ipv4.ip_local_reserved_ports", *_KEEPALIVE))
sysctls_1_32 = sysctls(
    (*_SYSCTLS, "net.ipv4.ip_local_reserved_ports", *_KEEPALIVE, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
)


def windows_host_process(metadata: Obj, spec: Obj) -> Finding | None:
    def wrong(context: Obj) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    of_pod, bad = wrong(security(spec)), those(spec, wrong)
    detail = f"{setters(of_pod, bad)} must not set securityContext.windowsOptions.hostProcess=true"
    return Finding("hostProcess", detail) if of_pod or bad else None
