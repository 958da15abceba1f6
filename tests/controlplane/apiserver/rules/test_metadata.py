"""What is told of metadata."""

from __future__ import annotations

from apimachinery.errors import FieldError
from controlplane.apiserver.catalog.strategy import CHANGE_THEN_NEW
from controlplane.apiserver.rules import metadata


def test_metadata_of_a_change_is_told_as_often_as_upstream_looks_at_it() -> None:
    def told(found: list[FieldError]) -> list[str]:
        return [str(error) for error in found]

    old = {"metadata": {"name": "c", "uid": "u"}}
    label = {"metadata": {"name": "c", "uid": "u", "labels": {"a": "not valid!"}}}
    assert len(metadata.validate_change(label, old, ("change",))) == 3
    assert len(metadata.validate_change(label, old, CHANGE_THEN_NEW)) == 4
    named = {"metadata": {"name": "c", "uid": "u", "finalizers": ["bare"]}}
    why = "name is neither a standard finalizer name nor is it fully qualified"
    assert (
        told(metadata.validate_change(named, old, CHANGE_THEN_NEW))
        == [f'metadata.finalizers[0]: Invalid value: "bare": {why}'] * 2
    )
    moved = {"metadata": {"name": "c", "uid": "v"}}
    assert (
        told(metadata.validate_change(moved, old, ("change",)))
        == ['metadata.uid: Invalid value: "v": field is immutable'] * 2
    )
