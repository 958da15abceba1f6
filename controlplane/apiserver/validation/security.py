"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import errors
from controlplane.apiserver.validation.fields import MAX_INT32, Found, Obj, enum

_ID_RANGE = f"must be between 0 and {MAX_INT32}, inclusive"
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?\Z")
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex "
    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)
# How upstream prints a container's security context: its own field names, in order.
_PRINTED = (
    "Capabilities",
    "Privileged",
    "SELinuxOptions",
    "WindowsOptions",
    "RunAsUser",
    "RunAsGroup",
    "RunAsNonRoot",
    "ReadOnlyRootFilesystem",
    "AllowPrivilegeEscalation",
    "ProcMount",
    "SeccompProfile",
    "AppArmorProfile",
)


def container(path: str, context: Obj | None, spec: Obj) -> Found:
    if context is None:
        return []
    found: Found = []
    for field in ("runAsUser", "runAsGroup"):
        found += _identity(f"{path}.{field}", context.get(field))
    if context.get("procMount") is not None:
        found += enum(f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
        if context["procMount"] == "Unmasked" and spec.get("hostUsers") is not False:
            text = "`hostUsers` must be false to use `Unmasked`"
            found.append(errors.invalid(f"{path}.procMount", "Unmasked", text))
    found += _seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    found += _apparmor(f"{path}.appArmorProfile", context.get("appArmorProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        text = "cannot set `allowPrivilegeEscalation` to false and "
        if context.get("privileged"):
            found.append(errors.invalid(path, _printed(context), text + "`privileged` to true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            shown = "`capabilities.Add` CAP_SYS_ADMIN"
            found.append(errors.invalid(path, _printed(context), text + shown))
    return found


def _printed(context: Obj) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for title in _PRINTED:
        value = context.get(title[0].lower() + title[1:])
        if title == "Capabilities" and value is not None:
            value = {"Add": value.get("add"), "Drop": value.get("drop")}
        shown[title] = value
    return shown


def _identity(path: str, value: Any) -> Found:
    if value is not None and not 0 <= value <= MAX_INT32:
        return [errors.invalid(path, value, _ID_RANGE)]
    return []


def _seccomp(path: str, profile: Obj | None) -> Found:
    if profile is None:
        return []
    found: Found = []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        found.append(errors.required(f"{path}.type", "type is required when seccompProfile is set"))
    if kind == "Localhost":
        if local is None:
            text = "must be set when seccomp type is Localhost"
            found.append(errors.required(f"{path}.localhostProfile", text))
    elif local is not None:
        text = "can only be set when seccomp type is Localhost"
        found.append(errors.invalid(f"{path}.localhostProfile", local, text))
    if kind:
        found += enum(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
    return found


def _apparmor(path: str, profile: Obj | None) -> Found:
    if profile is None:
        return []
    found: Found = []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if kind == "Localhost":
        where = f"{path}.localhostProfile"
        if local is None:
            found.append(errors.required(where, "must be set when AppArmor type is Localhost"))
        elif local != local.strip():
            found.append(errors.invalid(where, local, "must not be padded with whitespace"))
        elif not local:
            found.append(errors.required(where, "must be set when AppArmor type is Localhost"))
    elif kind in ("RuntimeDefault", "Unconfined"):
        if local is not None:
            text = "can only be set when AppArmor type is Localhost"
            found.append(errors.invalid(f"{path}.localhostProfile", local, text))
    elif not kind:
        found.append(errors.required(f"{path}.type", "type is required when appArmorProfile is set"))
    else:
        found += enum(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
    return found


def pod(path: str, context: Obj | None, spec: Obj) -> Found:
    """spec.securityContext; upstream keeps the host namespaces' rules in it too."""
    context = context or {}
    found = _identity(f"{path}.fsGroup", context.get("fsGroup"))
    found += _identity(f"{path}.runAsUser", context.get("runAsUser"))
    found += _identity(f"{path}.runAsGroup", context.get("runAsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        found += _identity(f"{path}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(errors.invalid(f"{path}.shareProcessNamespace", True, text))
    if context.get("sysctls"):
        found += _sysctls(f"{path}.sysctls", context["sysctls"], spec)
    for field, allowed in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        # Mount options are behind a feature gate that is off.
        ("seLinuxChangePolicy", ("Recursive",)),
    ):
        if context.get(field) is not None:
            found += enum(f"{path}.{field}", context[field], allowed)
    found += _seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    return found + _apparmor(f"{path}.appArmorProfile", context.get("appArmorProfile"))


def _sysctls(path: str, listed: list[Obj], spec: Obj) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, sysctl in enumerate(listed):
        where, title = f"{path}[{index}].name", sysctl.get("name") or ""
        if not title:
            found.append(errors.required(where))
        elif len(title) > 253 or not _SYSCTL.match(title):
            found.append(errors.invalid(where, title, _SYSCTL_TEXT))
        elif title in seen:
            found.append(errors.duplicate(where, title))
        seen.add(title)
        dotted = title.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            found.append(errors.invalid(where, title, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and (
            dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or dotted == "kernel.sem"
        ):
            found.append(errors.invalid(where, title, "may not be specified when 'hostIPC' is true"))
    return found
