"""No test is sure that something comes soon: the machine that it runs on may be slow.

A wait for what the test expects has no deadline under half a minute, for it ends when the thing is there. Shorter ones
stand where nothing is expected: below `pytest.raises` or `suppress`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LEAST = 30.0
_SECOND = {"wait_for", "until", "eventually"}
_BY_NAME = {"timeout": {"run", "communicate", "wait", "call", "check_output"}, "seconds": {"until", "eventually"}}


def short(tree: ast.AST, expected: bool = True) -> Iterator[ast.Call]:
    """The calls that wait for what is `expected`, but not for long."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and expected and any(_is_short(each) for each in _deadlines(node)):
            yield node
        unexpected = isinstance(node, ast.With | ast.AsyncWith) and any(map(_wants_none, node.items))
        yield from short(node, expected and not unexpected)


def _deadlines(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    # A method `until` is somebody's own, and what it is given second may be anything.
    if name in _SECOND and (name == "wait_for" or isinstance(call.func, ast.Name)):
        yield from call.args[1:2]
    yield from (each.value for each in call.keywords if name in _BY_NAME.get(each.arg or "", ()))


def _is_short(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value < LEAST


def _wants_none(item: ast.withitem) -> bool:
    return any(word in ast.unparse(item.context_expr) for word in ("raises(", "suppress("))


def test_nothing_expected_is_waited_for_only_briefly() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.py"))}
    found = [
        f"{path.relative_to(TESTS)}:{call.lineno}"
        for path, text in texts.items()
        if any(f"{word}(" in text for word in _SECOND) or "timeout=" in text
        for call in short(ast.parse(text))
    ]
    assert not found, found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("asyncio.wait_for(x, 5)", 1),
        ("await asyncio.wait_for(x, 60)", 0),
        ("eventually(x, 10, 'it')", 1),
        ("eventually(x, what='it')", 0),
        ("until(x, seconds=0.5)", 1),
        ("command.run(argv, timeout=10)", 1),
        ("with pytest.raises(TimeoutError):\n  command.run(argv, timeout=0.1)", 0),
        ("rig.until('set', 3)", 0),
    ],
)
def test_the_rule_finds_what_it_is_for(text: str, count: int) -> None:
    assert len(list(short(ast.parse(text)))) == count
