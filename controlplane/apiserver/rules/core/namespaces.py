"""Namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.metadata import STANDARD_FINALIZERS
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import each
from controlplane.apiserver.rules.words import created, hook

_LEVELS = ("privileged", "baseline", "restricted")
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)\Z")


def _finalizer(path: str, name: str) -> Iterator[FieldError]:
    yield from each(path, name, formats.qualified_name(name))
    if "/" not in name and name not in STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        yield errors.invalid(path, name, text)


def _finalizers(namespace: Obj, at: Place) -> Iterator[FieldError]:
    """A new one's carry no index in their paths."""
    for name in namespace["spec"].get("finalizers") or ():
        yield from _finalizer("spec.finalizers", name)


def _each_finalizer(namespace: Obj, at: Place) -> Iterator[FieldError]:
    for index, name in enumerate(namespace["spec"].get("finalizers") or ()):
        yield from _finalizer(f"spec.finalizers[{index}]", name)


def _pod_security(namespace: Obj, at: Place) -> Iterator[FieldError]:
    """The labels that say what pods of a namespace may do."""
    labels = namespace["metadata"].get("labels") or {}
    if any(formats.qualified_name(key) or formats.label_value(value) for key, value in labels.items()):
        # To upstream this is admission's, which does not see what is no label.
        return
    for mode in _MODES:
        key = f"pod-security.kubernetes.io/{mode}"
        if key in labels and labels[key] not in _LEVELS:
            text = f"must be one of {', '.join(_LEVELS)}"
            yield errors.invalid(f"metadata.labels[{key}]", labels[key], text)
    for mode in _MODES:
        key = f"pod-security.kubernetes.io/{mode}-version"
        if key in labels and labels[key] != "latest" and not _VERSION.match(labels[key]):
            yield errors.invalid(f"metadata.labels[{key}]", labels[key], 'must be "latest" or "v1.x"')


def _phase(namespace: Obj, at: Place) -> Iterator[FieldError]:
    phase, leaving = (namespace.get("status") or {}).get("phase") or "", "deletionTimestamp" in namespace["metadata"]
    wanted = "Terminating" if leaving else "Active"
    if phase != wanted:
        text = f"may only be '{wanted}' if `deletionTimestamp` is {'not ' if leaving else ''}empty"
        yield errors.invalid("status.Phase", phase, text)


RULES: dict[str, Row] = {
    "core.v1.Namespace": (created(_finalizers), hook(_pod_security)),
    "core.v1.Namespace/finalize": (hook(_each_finalizer),),
    "core.v1.Namespace/status": (hook(_phase),),
}
