"""Pods and pod templates: the whole of a spec. What may change in a pod is in `podchanges`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objectmeta import check_annotations, check_labels
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core import containers, platforms, podchanges, resources
from controlplane.apiserver.rules.core.annotations import MIRROR, pod_annotations
from controlplane.apiserver.rules.core.podspec import containers as every
from controlplane.apiserver.rules.core.podspec import remember
from controlplane.apiserver.rules.core.security import profiles_agree
from controlplane.apiserver.rules.place import Found, Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import MAX_INT32, NO_PATH, ip
from controlplane.apiserver.rules.words import (
    any_form,
    between,
    changed,
    created,
    enum,
    form,
    forms,
    hook,
    labels,
    strict_form,
    when,
)

_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SEARCH = re.compile(r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*\Z")
_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
)


# --- metadata ---


def pod_annotations_of(pod: Obj, at: Place) -> Iterator[FieldError]:
    values = pod["metadata"].get("annotations")
    return pod_annotations(values, pod["spec"], "metadata.annotations") if values else iter(())


def template_metadata(template: Obj, path: str) -> Iterator[FieldError]:
    """The labels and annotations of the pods that are made of a template."""
    meta = template.get("metadata") or {}
    yield from check_labels(meta.get("labels") or {}, f"{path}.labels")
    yield from check_annotations(meta.get("annotations") or {}, f"{path}.annotations")
    yield from pod_annotations(meta.get("annotations") or {}, template.get("spec") or {}, f"{path}.annotations")


def _template_profiles(template: Obj, at: Place) -> Iterator[FieldError]:
    values, spec = (template.get("metadata") or {}).get("annotations") or {}, template.get("spec") or {}
    yield from profiles_agree(values, spec, at.to("spec"))
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        yield errors.field_forbidden(at.to("spec.ephemeralContainers"), text)


# --- what is asked of pods and not of templates ---


def _accountless(pod: Obj, at: Place) -> Iterator[FieldError]:
    """Nobody's token can be mounted."""
    if pod["spec"].get("serviceAccountName"):
        return
    for index, volume in enumerate(pod["spec"].get("volumes") or ()):
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                where = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                yield errors.field_forbidden(where, "must not be specified when serviceAccountName is not set")


def _padded(pod: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("containers", "initContainers"):
        for index, container in enumerate(pod["spec"].get(field) or ()):
            yield from containers.padded(container, f"spec.{field}[{index}]")


def _new(pod: Obj, at: Place) -> Iterator[FieldError]:
    spec = pod["spec"]
    if spec.get("ephemeralContainers"):
        yield errors.field_forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        yield errors.field_forbidden("spec.nodeName", text)
    yield from profiles_agree(pod["metadata"].get("annotations") or {}, spec, "spec")


# --- the spec ---


def _grace(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("terminationGracePeriodSeconds") is None:
        yield errors.required(at.to("terminationGracePeriodSeconds"))


def _some(spec: Obj, at: Place) -> Iterator[FieldError]:
    if not spec.get("containers"):
        yield errors.required(at.to("containers"))
    else:
        yield from containers.host_ports(spec["containers"], at.to("containers"))


def _host_network(spec: Obj, at: Place) -> Iterator[FieldError]:
    """The host's network has one set of ports. Of templates, those of the pod to come are filled in later."""
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            given, wanted = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (at.about.kind == "Pod" or given) and given != wanted:
                text = "must match `containerPort` when `hostNetwork` is true"
                yield errors.invalid(f"{at.to('containers')}[{index}].ports[{number}].hostPort", given, text)


def _dns_config(spec: Obj, at: Place) -> Iterator[FieldError]:
    config, none, where = spec.get("dnsConfig"), spec.get("dnsPolicy") == "None", at.to("dnsConfig")
    if config is None:
        if none:
            yield errors.required(where, "must provide `dnsConfig` when `dnsPolicy` is None")
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if none and not servers:
        text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield errors.required(f"{where}.nameservers", text)
        return
    if len(servers) > 3:
        yield errors.invalid(f"{where}.nameservers", servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        yield from ip(f"{where}.nameservers[{index}]", server)
    if len(searches) > 32:
        yield errors.invalid(f"{where}.searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches).encode()) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        yield errors.invalid(f"{where}.searches", searches, text)
    for index, search in enumerate(searches):
        if search == ".":
            continue
        plain_search = search.removesuffix(".")
        if len(plain_search) > 253:
            yield errors.invalid(f"{where}.searches[{index}]", plain_search, "must be no more than 253 characters")
        if not _SEARCH.match(plain_search):
            yield errors.invalid(f"{where}.searches[{index}]", plain_search, _SEARCH_TEXT)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield errors.required(f"{where}.options[{index}]", "must not be empty")


def _gates(spec: Obj, at: Place) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, gate in enumerate(spec["schedulingGates"] or ()):
        where, title = f"{at.to('schedulingGates')}[{index}]", gate.get("name") or ""
        yield from (errors.invalid(where, title, text) for text in formats.qualified_name(title))
        if title in seen:
            yield errors.duplicate(where, title)
        seen.add(title)


def _host_users(spec: Obj, at: Place) -> Iterator[FieldError]:
    """Users of the pod's own rule out the host's namespaces and raw devices; a pod that has the two keeps them."""
    if spec["hostUsers"] is not False:
        return
    text = "when `hostUsers` is false"
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            yield errors.field_forbidden(at.to(shown), text)
    before = at.old or {}
    if before.get("hostUsers") is False and any(c.get("volumeDevices") for _, c in every(before)):
        return
    for where, container in every(spec):
        if container.get("volumeDevices"):
            yield errors.field_forbidden(f"{at.path}.{where}.volumeDevices", text)


def _hostname(spec: Obj, at: Place) -> Iterator[FieldError]:
    where, title = at.to("hostnameOverride"), spec["hostnameOverride"]
    if spec.get("setHostnameAsFQDN"):
        yield errors.field_forbidden(where, "may not be specified when setHostnameAsFQDN is true")
    if spec.get("hostNetwork"):
        yield errors.field_forbidden(where, "may not be specified when hostNetwork is true")
    if len(title.encode()) > 64:
        yield errors.too_long(where, 64)
    yield from (errors.invalid(where, title, text) for text in formats.dns1123_subdomain(title))


def _address(alias: Obj, at: Place) -> Found:
    return ip(at.to("ip"), alias.get("ip"))


def _claim(claim: Obj, at: Place) -> Iterator[FieldError]:
    title = claim.get("name") or ""
    seen = at.seen("names")
    if not title:
        yield errors.required(at.to("name"))
    elif title in seen:
        yield errors.duplicate(at.to("name"), title)
    else:
        yield from (errors.invalid(at.to("name"), title, text) for text in formats.dns1123_label(title))
        seen.add(title)
    given = [f for f in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(f) is not None]
    if len(given) != 1:
        text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        if given:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        yield errors.invalid(at.path, struct("core.v1.PodResourceClaim", claim), text)


def _mirrored(spec: Obj, at: Place) -> bool:
    meta = at.about.new.get("metadata") or {}
    return at.about.kind == "Pod" and MIRROR in (meta.get("annotations") or {})


def _own(spec: Obj, at: Place) -> bool:
    return not _mirrored(spec, at)


def _preempts(spec: Obj, at: Place) -> bool:
    """Whether the author says anything of it, be it nothing."""
    return spec.get("preemptionPolicy") is not None


def _static_claims(spec: Obj, at: Place) -> Iterator[FieldError]:
    for _ in spec["resourceClaims"] or ():
        yield errors.field_forbidden(NO_PATH, "static pods do not support resource claims")


def _files(spec: Obj, at: Place) -> Iterator[FieldError]:
    """Files with environment variables lie in an emptyDir."""
    if not at.about.notes.get("environment files"):
        return
    volumes = {volume.get("name") or "": volume for volume in spec.get("volumes") or ()}
    for where, container in every(spec):
        for index, variable in enumerate(container.get("env") or ()):
            source = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if source is None:
                continue
            title = source.get("volumeName") or ""
            path = f"{at.path}.{where}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if title not in volumes:
                yield errors.field_not_found(path, title)
            elif volumes[title].get("emptyDir") is None:
                yield errors.invalid(path, title, "referenced volume must be of type emptyDir")


# Of pods alone, however they are written.
POD_ONLY: Row = (hook(_accountless), hook(_padded))

RULES: dict[str, Row] = {
    "core.v1.Pod": (
        hook(pod_annotations_of),
        inside("spec", always=True),
        *POD_ONLY,
        created(_new),
        changed(podchanges.change),
    ),
    "core.v1.PodTemplate": (inside("template", always=True),),
    "core.v1.PodTemplateSpec": (
        hook(lambda template, at: template_metadata(template, at.path)),
        inside("spec", always=True),
        hook(_template_profiles),
    ),
    "core.v1.PodSpec": (
        hook(remember),
        hook(_grace),
        "volumes",
        when(_own, "resourceClaims"),
        when(_mirrored, hook(_static_claims, "resourceClaims")),
        "containers",
        hook(_some),
        "initContainers",
        "ephemeralContainers",
        hook(resources.pod_resources, "resources"),
        hook(_host_network, "hostNetwork"),
        enum("restartPolicy", ("Always", "OnFailure", "Never"), "required"),
        enum("dnsPolicy", _DNS_POLICIES, "required"),
        labels("nodeSelector"),
        "securityContext",
        "affinity",
        hook(_dns_config),
        "readinessGates",
        hook(_gates, "schedulingGates"),
        "topologySpreadConstraints",
        hook(platforms.host_process),
        hook(_host_users, "hostUsers"),
        hook(_hostname, "hostnameOverride"),
        form("serviceAccountName", formats.dns1123_subdomain),
        form("nodeName", formats.dns1123_subdomain),
        between("activeDeadlineSeconds", 1, MAX_INT32),
        form("hostname", formats.dns1123_label),
        form("subdomain", formats.dns1123_label),
        "tolerations",
        "hostAliases",
        form("priorityClassName", formats.dns1123_subdomain),
        strict_form("runtimeClassName", formats.dns1123_subdomain),
        when(_preempts, enum("preemptionPolicy", ("PreemptLowerPriority", "Never"), "required")),
        hook(resources.overhead, "overhead"),
        hook(platforms.system, "os"),
        hook(_files),
    ),
    "core.v1.PodReadinessGate": (any_form("conditionType", formats.qualified_name),),
    "core.v1.HostAlias": (hook(_address), forms("hostnames", formats.dns1123_subdomain)),
    "core.v1.PodResourceClaim": (
        hook(_claim),
        strict_form("resourceClaimName", formats.dns1123_subdomain),
        strict_form("resourceClaimTemplateName", formats.dns1123_subdomain),
    ),
}
