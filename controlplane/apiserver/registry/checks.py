"""Validation every object passes: metadata first, then its kind's own rules, all errors at once."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.strategy import Strategy, Warn
from controlplane.apiserver.rules import metadata
from controlplane.apiserver.rules.tables import rules


def check_new(kind: Kind, strategy: Strategy, obj: Obj, version: str, warn: Warn) -> None:
    """version: the client's. Raises Invalid and Unfinished."""
    found = metadata.validate(obj, kind.namespaced, strategy.check_name, strategy.plain_metadata)
    own = rules().check(kind, obj, version=version)
    if not strategy.metadata_checks:
        # The kind has no word about metadata; upstream looks at that only when all else is well.
        _raise(kind, obj, own)
    _raise(kind, obj, strategy.check(obj, None, "", found + own, warn))


def check_change(
    kind: Kind, strategy: Strategy, new: Obj, old: Obj, subresource: str, version: str, warn: Warn
) -> None:
    """version: the client's. Raises Invalid and Unfinished."""
    checks = strategy.status_metadata_checks if subresource == "status" else strategy.metadata_checks
    found = metadata.validate_change(new, old, checks, strategy.check_name)
    # A scale is an update of the whole, as upstream does it.
    part = "" if subresource == "scale" else subresource
    found += rules().check(kind, new, old, part, version)
    _raise(kind, new, strategy.check(new, old, part, found, warn))


def _raise(kind: Kind, obj: Obj, found: list[FieldError]) -> None:
    if found:
        raise errors.invalid_object(kind.kind, obj["metadata"].get("name") or "", found, kind.group)
