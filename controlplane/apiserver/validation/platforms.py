"""What a pod of one operating system cannot ask for, and what Windows' host processes need."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from controlplane.apiserver.validation.fields import Found, Obj

# In upstream's order; where a field of a pod lives: in its spec or in its security context.
_WINDOWS_POD = (
    ("securityContext", "appArmorProfile"),
    ("securityContext", "seLinuxOptions"),
    ("", "hostUsers"),
    ("", "hostPID"),
    ("", "hostIPC"),
    ("securityContext", "seccompProfile"),
    ("securityContext", "fsGroup"),
    ("securityContext", "fsGroupChangePolicy"),
    ("securityContext", "sysctls"),
    ("", "shareProcessNamespace"),
    ("securityContext", "runAsUser"),
    ("securityContext", "runAsGroup"),
    ("securityContext", "supplementalGroups"),
    ("securityContext", "supplementalGroupsPolicy"),
)
_WINDOWS_CONTAINER = (
    "appArmorProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
    "seLinuxOptions",
    "seccompProfile",
)
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def platform(path: str, spec: Obj) -> Found:
    """The rules of spec.os, and of host processes."""
    system = (spec.get("os") or {}).get("name")
    found = _host_process(path, spec)
    if system == "windows":
        return found + _windows(path, spec)
    if system == "linux":
        return found + _linux(path, spec)
    return found


def _each(path: str, spec: Obj) -> Iterator[tuple[str, Obj]]:
    """Where each container's security context is, and what it says."""
    for field in _CONTAINERS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{index}].securityContext", container.get("securityContext") or {}


def _windows(path: str, spec: Obj) -> Found:
    text = "cannot be set for a windows pod"
    found: Found = []
    for holder, field in _WINDOWS_POD:
        value = (spec.get(holder) or {}).get(field) if holder else spec.get(field)
        if value not in (None, False, []) or (field == "hostUsers" and value is False):
            where = f"{path}.{holder}.{field}" if holder else f"{path}.{field}"
            found.append(errors.field_forbidden(where, text))
    for where, context in _each(path, spec):
        found += [
            errors.field_forbidden(f"{where}.{field}", text)
            for field in _WINDOWS_CONTAINER
            if context.get(field) is not None
        ]
    return found


def _linux(path: str, spec: Obj) -> Found:
    text = "windows options cannot be set for a linux pod"
    contexts = [(f"{path}.securityContext", spec.get("securityContext") or {}), *_each(path, spec)]
    return [
        errors.field_forbidden(f"{where}.windowsOptions", text)
        for where, context in contexts
        if context.get("windowsOptions") is not None
    ]


def _host_process(path: str, spec: Obj) -> Found:
    own = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    asked = [(context.get("windowsOptions") or {}).get("hostProcess") for _, context in _each(path, spec)]
    found: Found = []
    for (where, _), wish in zip(_each(path, spec), asked, strict=True):
        if own is not None and wish is not None and wish != own:
            text = f"pod hostProcess value must be identical if both are specified, was {str(own).lower()}"
            found.append(errors.invalid(f"{where}.windowsOptions.hostProcess", wish, text))
    meant = [own if wish is None else wish for wish in asked]
    if not any(meant):
        return found
    if not all(meant):
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        found.append(errors.invalid(path, "", text))
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        found.append(errors.invalid(f"{path}.hostNetwork", False, text))
    return found
