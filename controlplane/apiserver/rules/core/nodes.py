"""Nodes, and what they report of themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from apimachinery import errors, formats
from apimachinery.addresses import interface
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core import annotated
from controlplane.apiserver.rules.core.resources import resource_amount
from controlplane.apiserver.rules.core.scheduling import EFFECTS
from controlplane.apiserver.rules.place import Place, Row, exists
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import cidr, config_key, each
from controlplane.apiserver.rules.words import changed, hook, name, when

_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*\Z")
_TAINTS = "scheduler.alpha.kubernetes.io/taints"
_AVOID = "scheduler.alpha.kubernetes.io/preferAvoidPods"
_UNIQUE = "taints must be unique by key and effect pair"
_POD_RANGES = 'node updates may not change podCIDR except from "" to valid'
_ONE_SOURCE = "exactly one reference subfield must be non-nil"


def _annotations(node: Obj, at: Place) -> Iterator[FieldError]:
    path, annotations = "metadata.annotations", node["metadata"].get("annotations") or {}
    if text := annotations.get(_TAINTS):
        taints, why = annotated.read(text, "taints")
        yield from [errors.invalid(path, _TAINTS, why)] if why else _each_taint(taints or [], f"{path}.{_TAINTS}")
    if text := annotations.get(_AVOID):
        avoided, why = annotated.read(text, "AvoidPods")
        yield from [errors.invalid(f"{path}.AvoidPods", _AVOID, why)] if why else _avoided(avoided or {})


def _avoided(pods: Obj) -> Iterator[FieldError]:
    """Pods that the node would rather not have, each by who controls it."""
    for index, entry in enumerate(pods.get("preferAvoidPods") or ()):
        where = f"metadata.annotations.{_AVOID}[{index}].PodSignature"
        controller = (entry.get("podSignature") or {}).get("podController")
        if controller is None:
            yield errors.required(where)
        elif not controller.get("controller"):
            yield errors.invalid(f"{where}.PodController.Controller", False, "must point to a controller")


def _taints(node: Obj, at: Place) -> Iterator[FieldError]:
    """Their paths begin as upstream's do, although they lie in the spec."""
    return _each_taint(node["spec"].get("taints") or [], "metadata.taints")


def _each_taint(listed: list[Obj], path: str) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(listed):
        where, key, effect = f"{path}[{index}]", taint.get("key") or "", taint.get("effect") or ""
        yield from each(f"{where}.key", key, formats.qualified_name(key))
        if complaints := formats.label_value(taint.get("value") or ""):
            yield errors.invalid(f"{where}.value", taint["value"], ";".join(complaints))
        if not effect:
            yield errors.required(f"{where}.effect")
        elif effect not in EFFECTS:
            yield errors.not_supported(f"{where}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            yield errors.duplicate(where, struct("core.v1.Taint", taint), _UNIQUE)
        seen.add((key, effect))


def _amounts(node: Obj, at: Place) -> Iterator[FieldError]:
    """Paths here name a resource as if it were a field, as upstream's do."""
    for field in ("capacity", "allocatable"):
        for resource, text in sorted(((node.get("status") or {}).get(field) or {}).items()):
            yield from resource_amount(f"status.{field}.{resource}", resource, text)


def _swap(node: Obj, at: Place) -> Iterator[FieldError]:
    """A node without swap says nothing of it."""
    size = (((node.get("status") or {}).get("nodeInfo") or {}).get("swap") or {}).get("capacity")
    if size is not None and size <= 0:
        yield errors.invalid("metadata.nodeSwapStatus.capacity", size, "must be greater than zero")


def _features(node: Obj, at: Place) -> Iterator[FieldError]:
    listed = (node.get("status") or {}).get("declaredFeatures") or []
    for index, feature in enumerate(listed):
        where, told = f"status.declaredFeatures[{index}]", ""
        if len(feature.encode()) > 253:
            told = "must be no more than 253 characters"
        elif not _FEATURE.match(feature):
            told = (
                "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., "
                "MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            )
        if told:
            text = f"invalid feature name {errors.quoted(feature)}: {told}"
            yield errors.invalid(where, feature, text)
        if index + 1 < len(listed):
            after, where = listed[index + 1], f"status.declaredFeatures[{index + 1}]"
            if after == feature:
                yield errors.duplicate(where, after)
            elif after < feature:
                yield errors.invalid(where, after, "list must be sorted alphabetically")


def _pod_ranges(node: Obj, at: Place) -> Iterator[FieldError]:
    listed = node["spec"].get("podCIDRs") or []
    for index, text in enumerate(listed):
        yield from cidr(f"spec.podCIDRs[{index}]", text)
    unread = next((index for index, text in enumerate(listed) if interface(text) is None), None)
    if len(listed) > 1 and unread is not None:
        told = f"invalid CIDR[{unread}]: <nil> (invalid CIDR address: {listed[unread]})"
        text = f"invalid PodCIDRs. failed to check with dual stack with error:{told}"
        yield errors.internal("spec.podCIDRs", text)
    if len(listed) > 1:
        versions = {found.version for text in listed if (found := interface(text)) is not None}
        if len(listed) > 2 or len(versions) != 2 or unread is not None:
            yield errors.invalid("spec.podCIDRs", listed, "may specify no more than one CIDR for each IP family")


def _change(node: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """What identifies a machine is written once."""
    spec, was = node["spec"], before["spec"]
    listed, then = spec.get("podCIDRs") or [], was.get("podCIDRs") or []
    if then and len(listed) != len(then):
        yield errors.field_forbidden("spec.podCIDRs", _POD_RANGES)
    elif then:
        for new, old in zip(listed, then, strict=True):
            if new != old:
                yield errors.field_forbidden("spec.podCIDRs", _POD_RANGES)
    if was.get("providerID") and was["providerID"] != spec.get("providerID"):
        text = 'node updates may not change providerID except from "" to valid'
        yield errors.field_forbidden("spec.providerID", text)


def _addresses(node: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate((node.get("status") or {}).get("addresses") or ()):
        key = (address.get("type") or "", address.get("address") or "")
        if key in seen:
            yield errors.duplicate(f"status.addresses[{index}]", struct("core.v1.NodeAddress", address))
        seen.add(key)


def _external_id(node: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    if (node["spec"].get("externalID") or "") != (before["spec"].get("externalID") or ""):
        yield errors.field_forbidden("spec.externalID", "may not be updated")


def _one_source(source: Obj, at: Place) -> Iterator[FieldError]:
    if source.get("configMap") is None:
        yield errors.invalid(at.path, struct("core.v1.NodeConfigSource", source), _ONE_SOURCE)


def _not_here(*fields: str) -> Callable[[Obj, Place], Iterator[FieldError]]:
    def check(source: Obj, at: Place) -> Iterator[FieldError]:
        wanted = at.above().name == "configSource"
        for field in fields:
            if wanted and source.get(field):
                yield errors.field_forbidden(at.to(field), f"{field} must not be set in spec")
            elif not wanted and not source.get(field):
                yield errors.required(at.to(field))

    return check


_CHANGED: Row = (
    hook(_annotations),
    hook(_amounts),
    hook(_features),
    changed(_addresses),
    changed(_change),
    "spec",
    "status",
    hook(_taints),
    changed(_external_id),
)

RULES: dict[str, Row] = {
    "core.v1.Node": (
        hook(_annotations),
        hook(_taints),
        hook(_amounts),
        hook(_swap),
        hook(_features),
        hook(_pod_ranges),
        # Upstream looks twice at much of a node that is changed.
        when(exists, *_CHANGED),
    ),
    "core.v1.Node/status": _CHANGED,
    "core.v1.NodeSpec": ("configSource",),
    "core.v1.NodeStatus": ("config",),
    "core.v1.NodeConfigStatus": ("assigned", "active", "lastKnownGood"),
    "core.v1.NodeConfigSource": ("configMap", hook(_one_source)),
    "core.v1.ConfigMapNodeConfigSource": (
        hook(_not_here("uid", "resourceVersion")),
        name("namespace", formats.dns1123_label),
        name("name", formats.dns1123_subdomain),
        name("kubeletConfigKey", config_key),
    ),
}
