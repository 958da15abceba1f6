"""Persistent volume claims, and templates of them."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.data import wire_fields
from apimachinery.errors import FieldError
from apimachinery.objectmeta import check_annotations, check_labels
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.resources import resource_amount
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import amount
from controlplane.apiserver.rules.words import enum, form, hook, required, when

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_ALONE = "may not use ReadWriteOncePod with other access modes"


def access_modes(spec: Obj, at: Place) -> Iterator[FieldError]:
    modes = spec["accessModes"] or ()
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield errors.not_supported(at.to("accessModes"), mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(m in ACCESS_MODES and m != "ReadWriteOncePod" for m in modes):
        yield errors.field_forbidden(at.to("accessModes"), _ALONE)


def _storage(spec: Obj, at: Place) -> Iterator[FieldError]:
    asked, where = ((spec.get("resources") or {}).get("requests") or {}).get("storage"), at.to("resources[storage]")
    if asked is None:
        yield errors.required(where)
    elif amount(asked) <= amount(0):
        yield errors.invalid(where, asked, "must be greater than zero")
    else:
        yield from resource_amount(where, "storage", asked)


def _default_group(source: Obj, at: Place) -> Iterator[FieldError]:
    if not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield errors.invalid(at.path, source.get("kind") or "", text)


def _same_source(spec: Obj, at: Place) -> Iterator[FieldError]:
    """The older of the two fields says the same as the newer one; the value shown is empty, as upstream's."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        yield errors.invalid(at.path, {}, "may not be specified when dataSourceRef.namespace is specified")
    elif any(source.get(key) != reference.get(key) for key in ("apiGroup", "kind", "name")):
        yield errors.invalid(at.path, {}, "must match dataSourceRef")


def template_metadata(template: Obj, at: Place) -> Iterator[FieldError]:
    """Labels and annotations are all that becomes of a template's metadata."""
    meta, where = template.get("metadata") or {}, at.to("metadata")
    yield from check_annotations(meta.get("annotations") or {}, f"{where}.annotations")
    yield from check_labels(meta.get("labels") or {}, f"{where}.labels")
    for field in wire_fields.declared("meta.v1.ObjectMeta"):
        # An empty list is one.
        if (meta.get(field.name) or meta.get(field.name) == []) and field.name not in ("labels", "annotations"):
            shown = "uID" if field.name == "uid" else field.name
            yield errors.field_forbidden(f"{where}.{shown}", "cannot be set")


def _judges_groups(source: Obj, at: Place) -> bool:
    """A claim that named a group before may name any: some were let in before groups had a form."""
    before = (at.about.old or {}).get("spec") or {} if at.about.kind == "PersistentVolumeClaim" else {}
    return all((before.get(field) or {}).get("apiGroup") is None for field in ("dataSource", "dataSourceRef"))


_SOURCE: Row = (
    required("name"),
    required("kind"),
    hook(_default_group),
    when(_judges_groups, form("apiGroup", formats.dns1123_subdomain)),
)

RULES: dict[str, Row] = {
    "core.v1.PersistentVolumeClaimTemplate": (hook(template_metadata), inside("spec", always=True)),
    "core.v1.PersistentVolumeClaimSpec": (
        required("accessModes", detail="at least 1 access mode is required"),
        "selector",
        hook(access_modes, "accessModes"),
        hook(_storage),
        form("storageClassName", formats.dns1123_subdomain),
        enum("volumeMode", VOLUME_MODES),
        "dataSource",
        "dataSourceRef",
        hook(_same_source, "dataSource"),
        form("volumeAttributesClassName", formats.dns1123_subdomain),
    ),
    "core.v1.PersistentVolumeClaimSpec.dataSource": _SOURCE,
    "core.v1.TypedObjectReference": (*_SOURCE, form("namespace", formats.dns1123_label)),
}
