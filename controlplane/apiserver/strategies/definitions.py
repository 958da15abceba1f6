"""CustomResourceDefinitions: the versions in which objects may lie in the store, and formats that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import conditions
from apimachinery.objects import Obj
from controlplane.apiserver.rules.apiextensions.versions import all_schemas
from controlplane.apiserver.structural import textformats
from controlplane.apiserver.structural.reading import everything

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that stays until all objects of a definition have gone."""
_MARKED = {
    "type": "Terminating",
    "status": "True",
    "reason": "InstanceDeletionPending",
    "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
}


def holds(definition: Obj) -> bool:
    """A definition is marked first, whatever there is of it."""
    return "deletionTimestamp" not in definition["metadata"]


def deleting(definition: Obj) -> None:
    """What the first DELETE does besides the timestamp."""
    metadata = definition["metadata"]
    metadata.pop("deletionGracePeriodSeconds", None)
    metadata["generation"] -= 1
    if CLEANUP not in (metadata.get("finalizers") or ()):
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), CLEANUP]
    status = definition.setdefault("status", {})
    there = status.get("conditions") or ()
    status["conditions"] = conditions.placed(there, conditions.dated(there, _MARKED, metadata["deletionTimestamp"]))


def changed(new: Obj, old: Obj) -> None:
    created(new)


def created(definition: Obj) -> None:
    """What is written from now on lies in the storage version; what lies there is for others to move."""
    stored = list((definition.get("status") or {}).get("storedVersions") or ())
    written = next((v.get("name") or "" for v in definition["spec"].get("versions") or () if v.get("storage")), None)
    if written is not None and written not in stored:
        definition.setdefault("status", {})["storedVersions"] = [*stored, written]


def unknown_formats(new: Obj, old: Obj | None) -> Iterator[str]:
    """Warnings of formats that no value is held to, if they were not there before."""
    before = set(_unknown(old)) if old is not None else set()
    for form in _unknown(new):
        if form not in before:
            yield f'unrecognized format "{form}"'


def _unknown(definition: Obj) -> Iterator[str]:
    schemas = all_schemas(definition["spec"])
    # What all versions have alike upstream keeps, and looks at, once.
    for schema in schemas[:1] if all(schema == schemas[0] for schema in schemas) else schemas:
        for node in everything(schema):
            form, kind = node.get("format") or "", node.get("type") or ""
            if form and not textformats.known(form, kind):
                yield form
