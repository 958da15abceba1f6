"""Whatever text stands in an object, it is read to an end: nothing that somebody writes is the server's failure."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.schema import Node, Schema
from controlplane.apiserver import defaults
from controlplane.apiserver.resources.builtin import ROWS
from controlplane.apiserver.rules.tables import rules

# More digits than Python reads, and a digit that is none to anybody else.
MANY, ODD = "9" * 5000, "\N{SUPERSCRIPT TWO}"
WRITTEN: dict[str, Any] = {
    "boolean": True,
    "int32": 1,
    "int64": 1,
    "number": 1,
    "bytes": "",
    "quantity": MANY,
    "time": "2026-01-01T00:00:00Z",
    "microtime": "2026-01-01T00:00:00.000000Z",
    "raw": {},
}


def filled(node: Node, text: str, within: tuple[str, ...] = ()) -> Any:
    """A value with every field there, and that text wherever there can be one."""
    if node.shape == "struct":
        inner = (*within, node.type_name)
        fields = {} if node.type_name in within else node.fields
        return {name: filled(field, text, inner) for name, field in fields.items()}
    if node.element is not None:
        item = filled(node.element, text, within)
        return [item] if node.shape == "list" else {text: item}
    return WRITTEN.get(node.shape, text)


@pytest.mark.parametrize(
    "text", [MANY, f"{MANY}%", f"0-{MANY}", f"*/{ODD} * * * *", ODD], ids=["many", "share", "range", "cron", "odd"]
)
def test_no_text_is_too_odd_to_be_judged(text: str) -> None:
    schema = Schema.load()
    for row in ROWS:
        kind, node = row.kind, schema.node(row.kind.api_version, row.kind.kind)
        if not row.kept or node is None:
            continue
        obj = filled(node, text) | {"kind": kind.kind, "apiVersion": kind.api_version}
        assert schema.compiled(kind).check(obj).error == ""
        defaults.apply(obj)
        for part in ("", "status"):
            rules().check(kind, obj, obj, part)
        rules().check(kind, obj, None)
