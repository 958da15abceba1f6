"""What a definition says of tables and of fields that can be selected on."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver.custom import columns


def test_names_of_fields_that_can_be_selected_on_hold_anything_but_dots_and_brackets() -> None:
    names = ("a-b", "a b", 'a"b', "a\\b", "flag", "count")
    schema: Obj = {"properties": {"spec": {"properties": {name: {"type": "string"} for name in names}}}}
    paths = [{"jsonPath": f".spec.{name}"} for name in names]
    getters = columns.fields({"schema": {"openAPIV3Schema": schema}, "selectableFields": paths}).getters
    obj: Obj = {"spec": {"a-b": "1", "a b": "2", 'a"b': "3", "a\\b": "4", "flag": True}}
    assert [getters[f"spec.{name}"](obj) for name in names] == ["1", "2", "3", "4", "true", ""]
