# ruff: noqa: E501 - tables of cases read best one to a line
import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors, patch

OBJ = {
    "data": {"a": "1", "b": "2"},
    "list": [1, {"x": None}, 2],
    "metadata": {"annotations": {"e.com/k": "v"}},
}


def op(name: str, path: str, **rest: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **rest}


GOOD: list[tuple[list[dict[str, Any]], str, Any]] = [
    ([op("add", "/data/c", value="3")], "data", {"a": "1", "b": "2", "c": "3"}),
    ([op("add", "/data/c")], "data", {"a": "1", "b": "2", "c": None}),
    ([op("replace", "/data/zz", value="x")], "data", {"a": "1", "b": "2", "zz": "x"}),
    ([op("copy", "/data/z", **{"from": "/data/zz"})], "data", {"a": "1", "b": "2", "z": None}),
    ([op("move", "/data/c", **{"from": "/data/a"})], "data", {"b": "2", "c": "1"}),
    ([op("test", "/data/zz", value=None), op("remove", "/data/a")], "data", {"b": "2"}),
    ([op("add", "ignored/data/c", value=1)], "data", {"a": "1", "b": "2", "c": 1}),
    (
        [
            op("add", "/metadata/annotations/e.com~1n", value="~"),
            op("remove", "/metadata/annotations/e.com~1k"),
        ],
        "metadata",
        {"annotations": {"e.com/n": "~"}},
    ),
    ([op("add", "/list/-", value=9)], "list", [1, {"x": None}, 2, 9]),
    ([op("add", "/list/3", value=9)], "list", [1, {"x": None}, 2, 9]),
    ([op("add", "/list/-1", value=9)], "list", [1, {"x": None}, 2, 9]),
    ([op("add", "/list/-4", value=9)], "list", [9, 1, {"x": None}, 2]),
    ([op("remove", "/list/-1")], "list", [1, {"x": None}]),
    ([op("replace", "", value={"list": 5})], "list", 5),
]


@pytest.mark.parametrize(("operations", "field", "result"), GOOD)
def test_json_patch(operations: list[dict[str, Any]], field: str, result: Any) -> None:
    before = copy.deepcopy(OBJ)
    assert patch.json_patch(OBJ, operations)[field] == result
    assert before == OBJ


BAD: list[dict[str, Any]] = [
    op("add", "/no/x", value=1), op("remove", "/data/zz"), op("remove", ""), op("add", "", value={}), op("odd", "/data/a"),
    {"path": "/data/a"}, {"op": "add"}, op("test", "/data/a", value="2"), op("test", "/data/a"), op("test", "/list/0", value=1.0),
    op("move", "/data/a/b", **{"from": "/data/a"}), op("move", "/data/z", **{"from": "/data/zz"}), op("move", "/data/z"),
    op("add", "/list/4", value=1), op("remove", "/list/3"), op("remove", "/list/-"), op("replace", "/list/x", value=1),
    op("replace", "/list/-", value=1), op("add", "/data/a/b", value=1),
    op("replace", "", value="s"), op("replace", "", value=1), op("replace", "", value=None), op("replace", ""),
]  # fmt: skip


@pytest.mark.parametrize("operation", BAD)
def test_json_patch_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(errors.Invalid) as raised:
        patch.json_patch(OBJ, [operation])
    assert raised.value.message == "the server rejected our request due to an error in our request"


keys = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=3)


@given(objects, objects)
def test_json_patch_undoes_a_computed_difference(old: dict[str, Any], new: dict[str, Any]) -> None:
    operations = jsonpatch.make_patch(old, new).patch
    if not any(operation["path"] == "" for operation in operations):
        assert patch.json_patch(old, operations) == new


def rfc7386(target: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = rfc7386(result.get(key), value)
    return result


flat = st.recursive(
    st.none() | st.integers(-3, 3), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(keys, flat), st.dictionaries(keys, flat))
def test_merge_patch_follows_the_rfc(old: dict[str, Any], change: dict[str, Any]) -> None:
    before = copy.deepcopy((old, change))
    assert patch.merge_patch(old, change) == rfc7386(old, change)
    assert (old, change) == before


@pytest.mark.parametrize(
    ("decode", "body", "code", "message"),
    [
        (patch.decode_json_patch, b'"x"', 400, "error decoding patch: json: cannot unmarshal string into Go value of type []handlers.jsonPatchOp"),
        (patch.decode_json_patch, b'[{"op":', 400, "error decoding patch: unexpected end of JSON input"),
        (patch.decode_json_patch, b"[" + b"{}," * 10000 + b"{}]", 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"),
        (patch.decode_merge_patch, b"null", 400, "Invalid JSON Patch"),
        (patch.decode_merge_patch, b"5", 400, "error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}"),
        (patch.decode_merge_patch, b"data:\n a: q\n", 400, "error decoding patch: invalid character 'd' looking for beginning of value"),
        (patch.decode_strategic_merge, b"[]", 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (patch.decode_strategic_merge, b"", 400, "unexpected end of JSON input"),
    ],
)  # fmt: skip
def test_bodies_refused(decode: Any, body: bytes, code: int, message: str) -> None:
    with pytest.raises(errors.ApiError) as raised:
        decode(body)
    assert (raised.value.status_code, raised.value.message) == (code, message)


def test_null_bodies() -> None:
    assert patch.decode_json_patch(b"null") == []
    assert patch.decode_strategic_merge(b"null") == {}
