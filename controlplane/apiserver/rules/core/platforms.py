"""What a pod of one operating system cannot ask for, and what Windows' host processes need."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.podspec import containers
from controlplane.apiserver.rules.place import Place

SYSTEMS = ("linux", "windows")
_ONLY_LINUX = "cannot be set for a windows pod"
_ONLY_WINDOWS = "windows options cannot be set for a linux pod"
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
    ("securityContext", "seLinuxChangePolicy"),
)
# Values, not references: false and an empty list are as good as absent.
_PLAIN = frozenset(("hostPID", "hostIPC", "sysctls"))
_WINDOWS_CONTAINER = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def system(spec: Obj, at: Place) -> Iterator[FieldError]:
    """The rules of spec.os."""
    title = spec["os"].get("name") or ""
    if not title:
        yield errors.required(at.to("os.name"))
    elif title not in SYSTEMS:
        yield errors.not_supported(at.to("os"), title, SYSTEMS)
    elif title == "windows":
        yield from _windows(spec, at)
    else:
        yield from _linux(spec, at)


def _contexts(spec: Obj, at: Place) -> Iterator[tuple[str, Obj]]:
    """Where each container's security context is, and what it says."""
    for where, container in containers(spec):
        yield f"{at.path}.{where}.securityContext", container.get("securityContext") or {}


def _windows(spec: Obj, at: Place) -> Iterator[FieldError]:
    for holder, field in _WINDOWS_POD:
        value = (spec.get(holder) or {}).get(field) if holder else spec.get(field)
        if value or (value is not None and field not in _PLAIN):
            yield errors.field_forbidden(at.to(f"{holder}.{field}" if holder else field), _ONLY_LINUX)
    for where, context in _contexts(spec, at):
        for field in _WINDOWS_CONTAINER:
            if context.get(field) is not None:
                yield errors.field_forbidden(f"{where}.{field}", _ONLY_LINUX)


def _linux(spec: Obj, at: Place) -> Iterator[FieldError]:
    own = (at.to("securityContext"), spec.get("securityContext") or {})
    for where, context in (own, *_contexts(spec, at)):
        if context.get("windowsOptions") is not None:
            yield errors.field_forbidden(f"{where}.windowsOptions", _ONLY_WINDOWS)


def host_process(spec: Obj, at: Place) -> Iterator[FieldError]:
    """Processes of the host: all of a pod's containers or none, and on the host's network."""
    if not at.about.notes.get("windows options"):
        return
    own = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    meant = []
    for _, container in containers(spec):
        context = container.get("securityContext")
        meant.append(own if not context else (context.get("windowsOptions") or {}).get("hostProcess", own))
    if own is not None:
        for where, context in _contexts(spec, at):
            wish = (context.get("windowsOptions") or {}).get("hostProcess")
            if wish is not None and wish != own:
                text = f"pod hostProcess value must be identical if both are specified, was {str(own).lower()}"
                yield errors.invalid(f"{where}.windowsOptions.hostProcess", wish, text)
    if not any(meant):
        return
    if not all(meant):
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield errors.invalid(at.path, "", text)
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        yield errors.invalid(at.to("hostNetwork"), False, text)
