"""What a plugin touches: its own module and the one tuple."""

from __future__ import annotations

import ast
from pathlib import Path

from controlplane.apiserver.admission.chain import PLUGINS

ROOT = Path(__file__).resolve().parents[4] / "controlplane"


def test_nobody_but_the_tuple_knows_a_plugin() -> None:
    plugins = {(plugin.__module__, plugin.__name__) for plugin in PLUGINS}
    known = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                known |= {
                    (path, (node.module, name.name)) for name in node.names if (node.module, name.name) in plugins
                }
    assert {path for path, _ in known} == {ROOT / "apiserver/admission/chain.py"}
    assert {plugin for _, plugin in known} == plugins
