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


LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PROGRAM = re.compile(r"python -m ([a-z_][a-z0-9_.]*)")


def anchors(document: Path) -> set[str]:
    """The ends of links to the headings of a page, as Markdown's readers make them."""
    titles = HEADING.findall(document.read_text(encoding="utf-8"))
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in documents()])
def test_links_and_programs_of_a_document_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    wrong = []
    for place, anchor in LINK.findall(text):
        target = (document.parent / place).resolve() if place else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{place}{anchor}")
    for module in PROGRAM.findall(text):
        path = ROOT / module.rstrip(".").replace(".", "/")
        if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
            wrong.append(f"python -m {module}")
    assert not wrong, wrong
