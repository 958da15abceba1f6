"""Security contexts of pods and containers, and what stands in a pod's annotations instead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules import values
from controlplane.apiserver.rules.core.podspec import containers, noting, spec_of
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import MAX_INT32, descending_path
from controlplane.apiserver.rules.words import between, enum, hook, strict_form

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?\Z")
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex "
    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)
_PATH_LIMIT = 4095
_SPEC_LIMIT = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}\Z')
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS_DOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
_NOT_IN_USERS = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_DOTS = re.compile(r"[. ]+\Z")


def _unmasked(context: Obj, at: Place) -> Iterator[FieldError]:
    if context["procMount"] == "Unmasked" and spec_of(at).get("hostUsers") is not False:
        yield errors.invalid(at.to("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`")


def _escalation(context: Obj, at: Place) -> Iterator[FieldError]:
    if context["allowPrivilegeEscalation"] is not False:
        return
    added = (context.get("capabilities") or {}).get("add") or ()
    for wrong, what in (
        (context.get("privileged"), "`privileged` to true"),
        ("CAP_SYS_ADMIN" in added, "`capabilities.Add` CAP_SYS_ADMIN"),
    ):
        if wrong:
            text = f"cannot set `allowPrivilegeEscalation` to false and {what}"
            yield errors.invalid(at.path, struct("core.v1.SecurityContext", context), text)


def _seccomp(profile: Obj, at: Place) -> Iterator[FieldError]:
    local, where = profile.get("localhostProfile"), "localhostProfile"
    if profile.get("type") != "Localhost":
        if local is not None:
            text = "can only be set when seccomp type is Localhost"
            yield errors.invalid(at.to(where), struct("core.v1.SeccompProfile", profile), text)
    elif local is None:
        yield errors.required(at.to(where), "must be set when seccomp type is Localhost")
    else:
        yield from descending_path(at.to(where), local)


def _apparmor(profile: Obj, at: Place) -> Iterator[FieldError]:
    kind, local, where = profile.get("type") or "", profile.get("localhostProfile"), at.to("localhostProfile")
    if kind == "Localhost":
        if not local:
            yield errors.required(where, "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            yield errors.invalid(where, local, "must not be padded with whitespace")
        if local and len(local.encode()) > _PATH_LIMIT:
            yield errors.too_long(where, _PATH_LIMIT)
    elif kind in _PROFILES:
        if local is not None:
            yield errors.invalid(where, local, "can only be set when AppArmor type is Localhost")
    elif not kind:
        yield errors.required(at.to("type"), "type is required when appArmorProfile is set")
    else:
        yield errors.not_supported(at.to("type"), kind, _PROFILES)


def _credentials(options: Obj, at: Place) -> Iterator[FieldError]:
    text = options["gmsaCredentialSpec"]
    where = at.to("gmsaCredentialSpec")
    if not text:
        yield errors.invalid(where, text, "gmsaCredentialSpec cannot be an empty string")
    elif len(text.encode()) > _SPEC_LIMIT:
        yield errors.invalid(where, text, "gmsaCredentialSpec size must be under 64 KiB")


def _windows_user(options: Obj, at: Place) -> Iterator[FieldError]:
    """DOMAIN\\USER, the domain a NetBIOS or a DNS name."""
    text: str = options["runAsUserName"]
    for complaint in _user_complaints(text):
        yield errors.invalid(at.to("runAsUserName"), text, complaint)


def _user_complaints(text: str) -> Iterator[str]:
    if not text:
        yield "runAsUserName cannot be an empty string"
        return
    if _CONTROL.search(text):
        yield "runAsUserName cannot contain control characters"
        return
    domain, backslash, user = text.rpartition("\\")
    if "\\" in domain:
        yield "runAsUserName cannot contain more than one backslash"
        return
    if len(domain.encode()) >= 256:
        yield "runAsUserName's Domain length must be under 256 characters"
    if backslash and not (_NETBIOS.match(domain) or _DNS_DOMAIN.match(domain)):
        yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "runAsUserName's User cannot be empty"
    elif len(user.encode()) > 104:
        yield "runAsUserName's User length must not be longer than 104 characters"
    if _DOTS.match(user):
        yield "runAsUserName's User cannot contain only periods or spaces"
    if _NOT_IN_USERS.search(user):
        yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def _groups(context: Obj, at: Place) -> Iterator[FieldError]:
    for index, group in enumerate(context["supplementalGroups"] or ()):
        if not 0 <= group <= MAX_INT32:
            text = f"must be between 0 and {MAX_INT32}, inclusive"
            yield errors.invalid(f"{at.to('supplementalGroups')}[{index}]", group, text)


def _shared_processes(context: Obj, at: Place) -> Iterator[FieldError]:
    spec = spec_of(at)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield errors.invalid(at.to("shareProcessNamespace"), True, text)


def _sysctls(context: Obj, at: Place) -> Iterator[FieldError]:
    spec, seen = spec_of(at), set()
    for index, sysctl in enumerate(context["sysctls"] or ()):
        where, title = f"{at.to('sysctls')}[{index}].name", sysctl.get("name") or ""
        if not title:
            yield errors.required(where)
        elif len(title) > 253 or not _SYSCTL.match(title):
            yield errors.invalid(where, title, _SYSCTL_TEXT)
        elif title in seen:
            yield errors.duplicate(where, title)
        seen.add(title)
        dotted = title.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            yield errors.invalid(where, title, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and (
            dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or dotted == "kernel.sem"
        ):
            yield errors.invalid(where, title, "may not be specified when 'hostIPC' is true")


def _relabelling(context: Obj, at: Place) -> list[FieldError]:
    """Mount options are behind a feature gate that is off, but for those who chose either way before."""
    policy, chosen = context["seLinuxChangePolicy"], (at.old or {}).get("seLinuxChangePolicy") is not None
    allowed = ("MountOption", "Recursive") if chosen else ("Recursive",)
    return [] if policy is None else values.enum(at.to("seLinuxChangePolicy"), policy, allowed)


# --- annotations ---

_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_LOCAL, _UNCONFINED, _DEFAULTS = "localhost/", "unconfined", ("runtime/default", "docker/default")


def profiles_in_annotations(annotations: Obj, spec: Obj, path: str) -> Iterator[FieldError]:
    """The profiles that old annotations name; path: that of the annotations."""
    for key, profile in sorted(annotations.items(), key=lambda item: (item[0] != _SECCOMP_POD, item[0])):
        if key != _SECCOMP_POD and not key.startswith(_SECCOMP_CONTAINER):
            continue
        if profile.startswith(_LOCAL):
            yield from descending_path(f"{path}.{key}", profile[len(_LOCAL) :])
        elif profile not in (*_DEFAULTS, _UNCONFINED):
            yield errors.invalid(f"{path}.{key}", profile, "must be a valid seccomp profile")
    names = {container.get("name") or "" for _, container in containers(spec)}
    for key, profile in sorted(annotations.items()):
        if not key.startswith(APPARMOR):
            continue
        if key[len(APPARMOR) :] not in names:
            yield errors.invalid(f"{path}[{key}]", key[len(APPARMOR) :], "container not found")
        if profile not in ("", _DEFAULTS[0], _UNCONFINED) and not profile.startswith(_LOCAL):
            text = f"invalid AppArmor profile name: {errors.quoted(profile)}"
            yield errors.invalid(f"{path}[{key}]", profile, text)


def profiles_agree(annotations: Obj, spec: Obj, path: str) -> Iterator[FieldError]:
    """What annotations and fields of a new pod or a template say is the same; path: that of the spec."""
    if not annotations:
        return
    own = spec.get("securityContext") or {}
    yield from _agree(annotations.get(_SECCOMP_POD), own.get("seccompProfile"), f"{path}.securityContext", "seccomp")
    listed = [(f"{path}.{where}.securityContext", container) for where, container in containers(spec)]
    for where, container in listed:
        context = container.get("securityContext") or {}
        said = annotations.get(_SECCOMP_CONTAINER + (container.get("name") or ""))
        yield from _agree(said, context.get("seccompProfile"), where, "seccomp")
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for where, container in listed:
        context = container.get("securityContext") or {}
        said = annotations.get(APPARMOR + (container.get("name") or ""))
        yield from _agree(said, context.get("appArmorProfile") or own.get("appArmorProfile"), where, "apparmor")


def _agree(said: str | None, profile: Obj | None, path: str, what: str) -> Iterator[FieldError]:
    if said is None or profile is None:
        return
    where = f"{path}.{'seccompProfile' if what == 'seccomp' else 'appArmorProfile'}"
    kind = profile.get("type")
    defaults = _DEFAULTS if what == "seccomp" else _DEFAULTS[:1]
    wrong = (
        (kind == "Unconfined" and said != _UNCONFINED)
        or (kind == "RuntimeDefault" and said not in defaults)
        or (kind == "Localhost" and not said.startswith(_LOCAL))
    )
    if wrong:
        yield errors.field_forbidden(f"{where}.type", f"{what} type in annotation and field must match")
    elif kind == "Localhost" and said[len(_LOCAL) :] != profile.get("localhostProfile"):
        yield errors.field_forbidden(f"{where}.localhostProfile", f"{what} profile in annotation and field must match")


RULES: dict[str, Row] = {
    "core.v1.SecurityContext": (
        between("runAsUser", 0, MAX_INT32),
        between("runAsGroup", 0, MAX_INT32),
        enum("procMount", ("Default", "Unmasked")),
        hook(_unmasked, "procMount"),
        "seccompProfile",
        hook(_escalation, "allowPrivilegeEscalation"),
        "windowsOptions",
        "appArmorProfile",
    ),
    "core.v1.PodSecurityContext": (
        between("fsGroup", 0, MAX_INT32),
        between("runAsUser", 0, MAX_INT32),
        between("runAsGroup", 0, MAX_INT32),
        hook(_groups, "supplementalGroups"),
        hook(_shared_processes),
        hook(_sysctls, "sysctls"),
        enum("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        "seccompProfile",
        "windowsOptions",
        "appArmorProfile",
        enum("supplementalGroupsPolicy", ("Merge", "Strict")),
        hook(_relabelling, "seLinuxChangePolicy"),
    ),
    "core.v1.SeccompProfile": (
        enum("type", _PROFILES, "required", detail="type is required when seccompProfile is set"),
        hook(_seccomp),
    ),
    "core.v1.AppArmorProfile": (hook(_apparmor),),
    "core.v1.WindowsSecurityContextOptions": (
        hook(noting("windows options")),
        strict_form("gmsaCredentialSpecName", formats.dns1123_subdomain),
        hook(_credentials, "gmsaCredentialSpec"),
        hook(_windows_user, "runAsUserName"),
    ),
}
