"""What the documents name is there."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Files and folders of ours have these endings; a name with capitals or an asterisk stands for many. YAML is mostly what
# people write themselves.
NAMED = re.compile(r"`([a-z_][a-z0-9_/.-]*(?:\.(?:py|sh|txt|md|pl|toml)|/))`")


def documents() -> list[Path]:
    tops = (path for path in ROOT.iterdir() if not path.name.startswith("."))
    return sorted(path for top in tops for path in ([top] if top.suffix == ".md" else top.rglob("*.md")))


@functools.cache
def places() -> frozenset[str]:
    """Every file and folder, by each way to end its path: `agent/pods/plan.py`, `pods/plan.py`, `plan.py`."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".") and path.name != "__pycache__"]
    found = [*tops, *(inner for top in tops if top.is_dir() for inner in top.rglob("*"))]
    parts = (path.relative_to(ROOT).parts for path in found)
    return frozenset("/".join(names[start:]) for names in parts for start in range(len(names)))


@pytest.mark.parametrize("document", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in documents()])
def test_files_and_folders_that_a_document_names_are_there(document: Path) -> None:
    # What stands in blocks is commands and layouts, of machines too.
    prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    missing = {name for name in NAMED.findall(prose) if name.rstrip("/") not in places()}
    assert not missing, sorted(missing)
