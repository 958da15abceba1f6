"""JSONPath of printer columns, selectable fields and kubectl."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apimachinery.jsonpath import JsonPathError, compiled, printed

OBJ: dict[str, Any] = {
    "spec": {"a": 1, "b.c": "dotted", "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}, {"v": 3}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        ("$.spec.a", [1]),
        (".spec['b.c']", ["dotted"]),
        (r".spec.b\.c", ["dotted"]),
        (".spec.none.deeper", []),
        (".spec.a.deeper", []),
        (".spec.list[0].n", ["x"]),
        (".spec.list[-1].v", [3]),
        (".spec.list[7].v", []),
        (".spec.list[1:].v", [2, 3]),
        (".spec.list[0,2].v", [1, 3]),
        (".spec.list[:2].v", [1, 2]),
        (".spec.list[-2:].v", [2, 3]),
        (".spec.list[::2].v", [1, 3]),
        (".spec.list[0:9].v", []),
        (".spec.list[2:1].v", []),
        (".spec.list[0:2:0].v", []),
        (".spec.list[::-1].v", []),
        (".spec.list[*].n", ["x", "y"]),
        (".spec['a','b.c']", [1, "dotted"]),
        ("..type", ["Ready", "Other"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type != 'Ready')].status", ["False"]),
        (".spec.list[?(@.v > 1)].v", [2, 3]),
        (".spec.list[?(@.n)].n", ["x", "y"]),
        (".spec.list[?(@.n<3)].n", []),
        (".", [OBJ]),
    ],
)
def test_what_a_path_finds(path: str, found: list[Any]) -> None:
    assert compiled(path)(OBJ) == found


@pytest.mark.parametrize(
    "path",
    [
        *(".spec[", ".spec[x]", ".spec[?(@.a==b)]", ".a b"),
        ".a[9223372036854775808]",
        f".a[{'9' * 5000}]",
        f".a[?(@.b=={'9' * 5000})]",
        ".a" + "[?(@.b" * 1000 + ")]" * 1000,
        ".a" * 1001,
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(JsonPathError):
        compiled(path)


def test_what_lies_deep_is_found() -> None:
    deep: Any = {"last": 1}
    for _ in range(2000):
        deep = [deep]
    assert compiled("..last")(deep) == [1]


@pytest.mark.parametrize("path", [".................z", "[*,*,*,*,*,*,*]" * 8 + ".z"])
def test_nothing_is_found_again_and_again_for_ever(path: str) -> None:
    deep: Any = 1
    for _ in range(30):
        deep = [deep]
    begun = time.thread_time()
    assert compiled(path)(deep) == []
    assert time.thread_time() - begun < 2


def test_a_value_as_text() -> None:
    values = ["a", 1, 1.5, 2.0, True, None, 2500000.5, {"b": "<", "a": [1]}]
    texts = ["a", "1", "1.5", "2", "true", "<no value>", "2.5000005e+06", '{"a":[1],"b":"\\u003c"}']
    assert [printed(value) for value in values] == texts
