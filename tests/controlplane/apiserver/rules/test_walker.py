"""The walker: order, paths, what is there before a change; and that every row fits its type."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.schema import Node, Schema, short
from controlplane.apiserver.resources.builtin import ROWS
from controlplane.apiserver.rules.compiled import Rules, inside
from controlplane.apiserver.rules.place import About, Place
from controlplane.apiserver.rules.tables import rules
from controlplane.apiserver.rules.words import (
    changed,
    created,
    enum,
    forbidden,
    hook,
    immutable,
    name,
    required,
    sound,
    union,
    unique,
)

Obj = dict[str, Any]
CONTAINER = "core.v1.Container"


def nodes() -> dict[str, Node]:
    schema = Schema.load()
    return {short(full): schema.type(full) for full in schema.definitions}


def node_of(key: str) -> Node:
    """The type that a row's key means; a field's item where it lies in a list or map."""
    base = key.partition("/")[0]
    if base in nodes():
        return nodes()[base]
    owner, _, field = base.rpartition(".")
    node = nodes()[owner].fields[field]
    return node.element if node.element is not None else node


@pytest.mark.parametrize("key", rules().names())
def test_every_row_names_fields_that_its_type_has(key: str) -> None:
    """Compiling raises for a field that is not there; and every type a row goes into has rules of its own."""
    table, node = rules(), node_of(key)
    table.walk(key, node)
    for entry in table.row(key):
        if not isinstance(entry, str):
            continue
        child = node.fields[entry]
        inner = child.element if child.element is not None else child
        uses = {short(inner.type_name), f"{short(node.type_name)}.{entry}"}
        assert uses & set(table.names()), f"{key} goes into {entry}, of which there are no rules"


def test_rows_of_kinds_are_of_kinds_that_are_served() -> None:
    kinds = [(row.kind.api_version, row.kind.kind) for row in ROWS]
    served = {short(found) for kind in kinds if (found := Schema.load().definition_name(*kind))}
    parts = {key.partition("/")[0] for key in rules().names() if "/" in key}
    assert parts <= served


def walk(table: Rules, new: Obj, old: Obj | None = None) -> list[str]:
    node = nodes()["core.v1.Pod"]
    found: list[Any] = []
    walker = table.walk("core.v1.Pod", node)
    assert walker is not None
    walker(new, Place(None, "", None, new, old, About("Pod", new, old)), found)
    return [str(error) for error in found]


def test_rules_run_in_the_order_of_the_row_and_paths_come_from_the_way() -> None:
    table = Rules(
        {
            "core.v1.Pod": ("spec",),
            "core.v1.PodSpec": (required("nodeName"), "containers", enum("dnsPolicy", ("A", "B"))),
            CONTAINER: (name("name"), unique("name"), union("livenessProbe", "readinessProbe", many="two")),
            "core.v1.Probe": (inside("exec", "program"),),
            "core.v1.ExecAction": (required("command"),),
            "core.v1.PodSpec.containers": (forbidden("lifecycle", detail="not here"),),
        }
    )
    containers = [
        {"name": "a", "livenessProbe": {"exec": {}}},
        {"name": "a", "livenessProbe": {}, "readinessProbe": {}, "lifecycle": {}},
        {},
    ]
    assert walk(table, {"spec": {"containers": containers, "dnsPolicy": "C"}}) == [
        "spec.nodeName: Required value",
        "spec.containers[0].livenessProbe.program.command: Required value",
        'spec.containers[1].name: Duplicate value: "a"',
        "spec.containers[1].readinessProbe: Forbidden: two",
        "spec.containers[1].lifecycle: Forbidden: not here",
        "spec.containers[2].name: Required value",
        'spec.dnsPolicy: Unsupported value: "C": supported values: "A", "B"',
    ]


def test_changes_are_seen_with_what_was_there() -> None:
    seen: list[tuple[Obj, Obj]] = []

    def compare(new: Obj, old: Obj, at: Place) -> tuple[()]:
        seen.append((new, old))
        return ()

    def fresh(spec: Obj, at: Place) -> tuple[()]:
        seen.append((spec, {"new": True}))
        return ()

    table = Rules(
        {
            "core.v1.Pod": ("spec",),
            "core.v1.PodSpec": (immutable("nodeName", "securityContext"), changed(compare), created(fresh)),
        }
    )
    old, new = {"spec": {"nodeName": "a"}}, {"spec": {"nodeName": "b", "securityContext": {"fsGroup": 1}}}
    assert walk(table, old) == []
    said = walk(table, new, old)
    assert said[0] == 'spec.nodeName: Invalid value: "b": field is immutable'
    assert said[1].startswith('spec.securityContext: Invalid value: {"HostNetwork":false,')
    assert seen == [(old["spec"], {"new": True}), (new["spec"], old["spec"])]


def test_what_is_sound_is_noted_after_all_else() -> None:
    noted: list[str] = []
    table = Rules(
        {
            "core.v1.Pod": ("spec",),
            "core.v1.PodSpec": ("containers",),
            CONTAINER: (sound(lambda container, at: noted.append(container["name"])), required("image")),
        }
    )
    walk(table, {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b"}]}})
    assert noted == ["a"]


def test_a_row_that_names_a_field_nobody_has_is_refused() -> None:
    with pytest.raises(KeyError, match=r"core.v1.Container has no imagee"):
        Rules({CONTAINER: (required("imagee"),)}).walk(CONTAINER, nodes()[CONTAINER])
    with pytest.raises(ValueError, match="two tables"):
        Rules({CONTAINER: ()}, {CONTAINER: ()})


def test_hooks_run_only_where_what_they_need_is_there() -> None:
    ran: list[Obj] = []

    def note(container: Obj, at: Place) -> tuple[()]:
        ran.append(container)
        return ()

    row = (hook(note, "env"),)
    table = Rules({"core.v1.Pod": ("spec",), "core.v1.PodSpec": ("containers",), CONTAINER: row})
    walk(table, {"spec": {"containers": [{"env": []}, {}]}})
    assert ran == [{"env": []}]
