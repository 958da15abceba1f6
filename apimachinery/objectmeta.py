"""What the metadata of any object is held to, wherever it lies, in upstream's words. Pure."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj

__all__ = [
    "as_prefix",
    "check",
    "check_annotations",
    "check_finalizers",
    "check_labels",
    "check_manager",
    "check_managers",
    "check_owners",
    "check_stem",
]

Found = list[FieldError]
CheckName = Callable[[str], tuple[str, ...]]
_ANNOTATIONS_LIMIT = 256 * 1024
_LONGEST_MANAGER, _LONGEST_SUBRESOURCE = 128, 256
_TOLD = 1000
# How upstream's type has them.
_REFERENCE = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")


def check(meta: Obj, path: str, namespaced: bool, check_name: CheckName) -> Found:
    """Errors of metadata at a path."""
    found = check_stem(meta, path, check_name)
    name = meta.get("name") or ""
    if not name:
        found.append(errors.required(f"{path}.name", "name or generateName is required"))
    else:
        found += [errors.invalid(f"{path}.name", name, text) for text in check_name(name)]
    if namespaced:
        space = meta.get("namespace") or ""
        if not space:
            found.append(errors.required(f"{path}.namespace"))
        else:
            found += [errors.invalid(f"{path}.namespace", space, text) for text in formats.dns1123_label(space)]
    if (meta.get("generation") or 0) < 0:
        found.append(errors.invalid(f"{path}.generation", meta["generation"], "must be greater than or equal to 0"))
    found += check_labels(meta.get("labels") or {}, f"{path}.labels")
    found += check_annotations(meta.get("annotations") or {}, f"{path}.annotations")
    found += check_owners(meta.get("ownerReferences") or [], f"{path}.ownerReferences")
    found += check_finalizers(meta.get("finalizers") or [], f"{path}.finalizers")
    return found + check_managers(meta.get("managedFields") or [], f"{path}.managedFields")


def check_stem(meta: Obj, path: str, check_name: CheckName) -> Found:
    stem = meta.get("generateName")
    return [errors.invalid(f"{path}.generateName", stem, text) for text in check_name(as_prefix(stem))] if stem else []


def as_prefix(stem: str) -> str:
    """A generateName as its check sees it: a last "-" is not the end of the name to come."""
    return stem[:-1] + "a" if len(stem) > 1 and stem.endswith("-") else stem


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


def check_manager(manager: str, path: str) -> Found:
    """The name of who owns fields. Each fault is told with the whole of it: of one that is too long, the first."""
    too_long = len(manager.encode()) > _LONGEST_MANAGER
    found = [errors.too_long(path, _LONGEST_MANAGER)] if too_long else []
    if manager.isprintable():
        return found
    at = 0
    for letter in manager:
        if not letter.isprintable():
            found.append(errors.invalid(path, manager, f"invalid character U+{ord(letter):04X} (at position {at})"))
            if too_long:
                break
        at += len(letter.encode())
    return found


def check_managers(entries: list[Obj], path: str) -> Found:
    """Who owns which fields, as far as that can be told from the entries alone; not much more than a message tells."""
    found: Found = []
    for index, entry in enumerate(entries):
        if len(found) >= _TOLD:
            break
        where = f"{path}[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            text = "must be `Apply` or `Update`"
            found.append(errors.invalid(f"{where}.operation", entry.get("operation") or "", text))
        if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
            found.append(errors.invalid(f"{where}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        found += check_manager(entry.get("manager") or "", f"{where}.manager")
        if len((entry.get("subresource") or "").encode()) > _LONGEST_SUBRESOURCE:
            found.append(errors.too_long(f"{where}.subresource", _LONGEST_SUBRESOURCE))
    return found
