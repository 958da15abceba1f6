"""Rules of ObjectMeta, for every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import errors, formats
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import as_prefix
from controlplane.apiserver.catalog.strategy import MetadataCheck
from controlplane.apiserver.rules.place import Found

_ANNOTATIONS_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
# How upstream's type has them.
_REFERENCE = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")


def validate(obj: Obj, namespaced: bool, check_name: Callable[[str], tuple[str, ...]], plain: bool = False) -> Found:
    """Errors of a new object's metadata. plain: its finalizers may have any name."""
    meta = obj["metadata"]
    found = _stem(meta, check_name)
    name = meta.get("name") or ""
    if not name:
        found.append(errors.required("metadata.name", "name or generateName is required"))
    else:
        found += [errors.invalid("metadata.name", name, text) for text in check_name(name)]
    if namespaced:
        space = meta.get("namespace") or ""
        if not space:
            found.append(errors.required("metadata.namespace"))
        else:
            found += [errors.invalid("metadata.namespace", space, text) for text in formats.dns1123_label(space)]
    if (meta.get("generation") or 0) < 0:
        found.append(errors.invalid("metadata.generation", meta["generation"], "must be greater than or equal to 0"))
    found += check_labels(meta.get("labels") or {}, "metadata.labels")
    found += check_annotations(meta.get("annotations") or {}, "metadata.annotations")
    found += check_owners(meta.get("ownerReferences") or [], "metadata.ownerReferences")
    found += check_finalizers(meta.get("finalizers") or [], "metadata.finalizers")
    return found if plain else found + check_own_finalizers(meta.get("finalizers") or [], "metadata.finalizers")


def _stem(meta: Obj, check_name: Callable[[str], tuple[str, ...]]) -> Found:
    stem = meta.get("generateName")
    return [errors.invalid("metadata.generateName", stem, text) for text in check_name(as_prefix(stem))] if stem else []


def validate_change(
    new: Obj, old: Obj, checks: Sequence[MetadataCheck], check_name: Callable[[str], tuple[str, ...]]
) -> Found:
    """Errors of a changed object's metadata.

    Upstream looks at it as that of any object, as a change of any object, and then as its kind has it; what each finds
    is listed.
    """
    meta = new["metadata"]
    finalizers = meta.get("finalizers") or []
    said = check_labels(meta.get("labels") or {}, "metadata.labels")
    said += check_annotations(meta.get("annotations") or {}, "metadata.annotations")
    said += check_owners(meta.get("ownerReferences") or [], "metadata.ownerReferences")
    listed = check_finalizers(finalizers, "metadata.finalizers")
    own = check_own_finalizers(finalizers, "metadata.finalizers")
    changed = _changes(meta, old["metadata"])
    stem = _stem(meta, check_name)
    kinds: dict[MetadataCheck, Found] = {"plain new": [*stem, *said, *listed], "plain change": [*changed, *said]}
    kinds |= {"new": [*stem, *said, *listed, *own], "change": [*changed, *said, *own]}
    return [*said, *listed, *changed, *said, *(error for check in checks for error in kinds[check])]


def _changes(meta: Obj, stored: Obj) -> Found:
    found: Found = []
    if "deletionTimestamp" in stored:
        known = set(stored.get("finalizers") or ())
        added = [f for f in meta.get("finalizers") or () if f not in known]
        if added:
            shown = "[]string{" + ", ".join(f'"{f}"' for f in sorted(added)) + "}"
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            found.append(errors.field_forbidden("metadata.finalizers", text))
    for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if meta.get(key) is not None and meta[key] != stored.get(key):
            found.append(errors.immutable(f"metadata.{key}", meta[key]))
    return found


def check_labels(values: dict[str, str], path: str) -> Found:
    found = []
    for key in sorted(values):
        found += [errors.invalid(path, key, text) for text in formats.qualified_name(key)]
        found += [errors.invalid(path, values[key], text) for text in formats.label_value(values[key])]
    return found


def check_annotations(values: dict[str, str], path: str) -> Found:
    found = []
    size = 0
    for key in sorted(values):
        found += [errors.invalid(path, key, text) for text in formats.qualified_name(key.lower())]
        size += len(key.encode()) + len(values[key].encode())
    if size > _ANNOTATIONS_LIMIT:
        found.append(errors.too_long(path, _ANNOTATIONS_LIMIT))
    return found


def check_owners(references: list[Obj], path: str) -> Found:
    """Paths carry no index, as upstream's."""
    found: Found = []
    controllers: list[str] = []
    for reference in references:
        version = reference.get("apiVersion") or ""
        # Upstream takes what it cannot read for no version at all.
        if version.count("/") > 1 or not version.rpartition("/")[2]:
            found.append(errors.invalid(f"{path}.apiVersion", version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not reference.get(field):
                found.append(errors.invalid(f"{path}.{field}", reference.get(field) or "", "must not be empty"))
        if (version, reference.get("kind")) == ("v1", "Event"):
            text = "/v1, Kind=Event is disallowed from being an owner"
            found.append(errors.invalid(path, _shown(reference), text))
        if reference.get("controller"):
            controllers.append(f"{reference.get('kind') or ''}/{reference.get('name') or ''}")
    if len(controllers) > 1:
        text = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        found.append(errors.invalid(path, [_shown(reference) for reference in references], text))
    return found


def _shown(reference: Obj) -> Obj:
    return {key: reference[key] for key in _REFERENCE if key in reference}


def check_finalizers(values: list[str], path: str) -> Found:
    found = []
    for value in values:
        found += [errors.invalid(path, value, text) for text in formats.qualified_name(value)]
    if "orphan" in values and "foregroundDeletion" in values:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(errors.invalid(path, values, text))
    return found


def check_own_finalizers(values: list[str], path: str) -> Found:
    """A finalizer of a built-in kind is a well-known one or says whose it is."""
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        errors.invalid(f"{path}[{index}]", value, text)
        for index, value in enumerate(values)
        if "/" not in value and value not in _STANDARD_FINALIZERS
    ]
