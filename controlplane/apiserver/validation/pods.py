"""Pods and pod templates: the whole of a spec, and what may change in one."""

from __future__ import annotations

import re

import orjson

from apimachinery import errors, formats
from controlplane.apiserver.validation import containers, platforms, scheduling, security, shapes, volumes
from controlplane.apiserver.validation import metadata as meta
from controlplane.apiserver.validation.fields import MAX_INT32, Found, Obj, each, enum, ip, name

_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SEARCH = re.compile(r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*\Z")
_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
)
_PROFILES = ("runtime/default", "docker/default", "unconfined")
_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"


def validate(pod: Obj) -> Found:
    found: Found = []
    profile = (pod["metadata"].get("annotations") or {}).get(_SECCOMP)
    if profile is not None and profile not in _PROFILES and not profile.startswith("localhost/"):
        text = "must be a valid seccomp profile"
        found.append(errors.invalid(f"metadata.annotations.{_SECCOMP}", profile, text))
    found += pod_spec("spec", pod["spec"])
    if pod["spec"].get("ephemeralContainers"):
        found.append(errors.field_forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if pod["spec"].get("nodeName") and pod["spec"].get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        found.append(errors.field_forbidden("spec.nodeName", text))
    return found


def template(path: str, value: Obj) -> Found:
    """A PodTemplateSpec."""
    metadata = value.get("metadata") or {}
    found = meta.check_labels(metadata.get("labels") or {}, f"{path}.labels")
    found += meta.check_annotations(metadata.get("annotations") or {}, f"{path}.annotations")
    found += pod_spec(f"{path}.spec", value.get("spec") or {})
    if (value.get("spec") or {}).get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        found.append(errors.field_forbidden(f"{path}.spec.ephemeralContainers", text))
    return found


def pod_spec(path: str, spec: Obj) -> Found:
    listed = spec.get("volumes") or []
    claims = [claim.get("name") or "" for claim in spec.get("resourceClaims") or ()]
    found, known = volumes.volumes(f"{path}.volumes", listed)
    found += containers.containers(f"{path}.containers", spec, known, claims)
    found += containers.init_containers(f"{path}.initContainers", spec, known, claims)
    found += enum(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    found += enum(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    found += meta.check_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    found += security.pod(f"{path}.securityContext", spec.get("securityContext"), spec)
    found += scheduling.affinity(f"{path}.affinity", spec.get("affinity"))
    found += _dns_config(path, spec)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        found += each(f"{path}.readinessGates[{index}].conditionType", kind, formats.qualified_name(kind))
    found += scheduling.gates(f"{path}.schedulingGates", spec.get("schedulingGates") or [])
    found += scheduling.spread(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or [])
    found += _host_users(path, spec)
    found += _resource_claims(f"{path}.resourceClaims", spec.get("resourceClaims") or [])
    found += _names(path, spec)
    return found + platforms.platform(path, spec)


def _resource_claims(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, claim in enumerate(listed):
        where, title = f"{path}[{index}]", claim.get("name") or ""
        if not title:
            found.append(errors.required(f"{where}.name"))
        elif title in seen:
            found.append(errors.duplicate(f"{where}.name", title))
        else:
            found += each(f"{where}.name", title, formats.dns1123_label(title))
        seen.add(title)
        own, source = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = shapes.shown(shapes.RESOURCE_CLAIM, claim)
        if own is not None and source is not None:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            found.append(errors.invalid(where, shown, text))
        elif own is None and source is None:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            found.append(errors.invalid(where, shown, text))
        for field in ("resourceClaimName", "resourceClaimTemplateName"):
            if claim.get(field) is not None:
                found += each(f"{where}.{field}", claim[field], formats.dns1123_subdomain(claim[field]))
    return found


def _host_users(path: str, spec: Obj) -> Found:
    if spec.get("hostUsers") is not False:
        return []
    fields = ("hostNetwork", "hostPID", "hostIPC")
    return [errors.field_forbidden(f"{path}.{f}", "when `hostUsers` is false") for f in fields if spec.get(f)]


def _names(path: str, spec: Obj) -> Found:
    found: Found = []
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            found += each(f"{path}.{field}", spec[field], formats.dns1123_subdomain(spec[field]))
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= MAX_INT32:
        text = f"must be between 1 and {MAX_INT32}, inclusive"
        found.append(errors.invalid(f"{path}.activeDeadlineSeconds", seconds, text))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            found += each(f"{path}.{field}", spec[field], formats.dns1123_label(spec[field]))
    found += scheduling.tolerations(f"{path}.tolerations", spec.get("tolerations") or [])
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{path}.hostAliases[{index}]"
        found += ip(f"{where}.ip", alias.get("ip"))
        for at, host in enumerate(alias.get("hostnames") or ()):
            found += each(f"{where}.hostnames[{at}]", host, formats.dns1123_subdomain(host))
    if spec.get("priorityClassName"):
        where = f"{path}.priorityClassName"
        found += name(where, spec["priorityClassName"], formats.dns1123_subdomain)
    if spec.get("runtimeClassName") is not None:
        where = f"{path}.runtimeClassName"
        found += each(where, spec["runtimeClassName"], formats.dns1123_subdomain(spec["runtimeClassName"]))
    if spec.get("preemptionPolicy") is not None:
        allowed = ("PreemptLowerPriority", "Never")
        found += enum(f"{path}.preemptionPolicy", spec["preemptionPolicy"], allowed)
    return found


def _dns_config(path: str, spec: Obj) -> Found:
    config, none = spec.get("dnsConfig"), spec.get("dnsPolicy") == "None"
    where = f"{path}.dnsConfig"
    if none and config is None:
        return [errors.required(where, "must provide `dnsConfig` when `dnsPolicy` is None")]
    found: Found = []
    servers = (config or {}).get("nameservers") or []
    if none and not servers:
        text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        found.append(errors.required(f"{where}.nameservers", text))
    if len(servers) > 3:
        found.append(errors.invalid(f"{where}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        found += ip(f"{where}.nameservers[{index}]", server)
    for index, search in enumerate((config or {}).get("searches") or ()):
        plain = search[:-1] if search.endswith(".") and len(search) > 1 else search
        if not _SEARCH.match(plain) and search != ".":
            found.append(errors.invalid(f"{where}.searches[{index}]", search, _SEARCH_TEXT))
    for index, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            found.append(errors.required(f"{where}.options[{index}]", "must not be empty"))
    return found


# --- changes ---


def validate_change(new: Obj, old: Obj) -> Found:
    """What may change in a pod that exists."""
    spec, was = new["spec"], old["spec"]
    found = pod_spec("spec", spec)
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(was.get(field) or ()):
            text = "pod updates may not add or remove containers"
            return [*found, errors.field_forbidden(f"spec.{field}", text)]
    found += _deadline(spec, was)
    found += _gates_change(spec, was)
    gated = bool(was.get("schedulingGates"))
    if gated:
        found += _selector_change(spec.get("nodeSelector"), was.get("nodeSelector") or {})
    found += _tolerations_change(spec, was)
    if _masked(spec, was, gated) != _masked(was, was, gated):
        found.append(errors.field_forbidden("spec", _CHANGEABLE))
    return found


def _deadline(spec: Obj, was: Obj) -> Found:
    before, after = was.get("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if after is not None and before is not None and after > before:
        return [errors.invalid(path, after, "must be less than or equal to previous value")]
    if after is None and before is not None:
        return [errors.invalid(path, None, "must not update from a positive integer to nil value")]
    return []


def _gates_change(spec: Obj, was: Obj) -> Found:
    known = {gate.get("name") for gate in was.get("schedulingGates") or ()}
    found: Found = []
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            found.append(errors.field_forbidden(f"spec.schedulingGates[{index}].name", text))
    return found


def _selector_change(selector: Obj | None, before: Obj) -> Found:
    """A pod that nobody may schedule yet can be narrowed to fewer nodes, never to others."""
    if all((selector or {}).get(key) == value for key, value in before.items()):
        return []
    text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
    return [errors.invalid("spec.nodeSelector", selector, text)]


def _tolerations_change(spec: Obj, was: Obj) -> Found:
    now = spec.get("tolerations") or []
    for toleration in was.get("tolerations") or ():
        if not any(_same_toleration(toleration, other) for other in now):
            text = "existing toleration can not be modified except its tolerationSeconds"
            return [errors.field_forbidden("spec.tolerations", text)]
    return []


def _same_toleration(a: Obj, b: Obj) -> bool:
    def plain(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    return plain(a) == plain(b)


def _masked(spec: Obj, was: Obj, gated: bool) -> Obj:
    """A spec with everything changeable made equal to what was there."""
    masked: Obj = orjson.loads(orjson.dumps(spec))
    for field in ("containers", "initContainers"):
        for container, before in zip(masked.get(field) or (), was.get(field) or (), strict=False):
            container["image"] = before.get("image")
    free = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if gated:
        free += ["nodeSelector", "affinity"]
    if (was.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        free.append("terminationGracePeriodSeconds")
    for field in free:
        masked.pop(field, None)
    return masked
