"""What adding something touches: the table in docs/architecture.md, counted by what there is already.

Whoever adds one more of a sort touches the files in which each of those there is named. So they are looked for in every
module, by what their sort is named with: an import, or a name as a text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from agent.volumes.plugins import PLUGINS as VOLUMES
from controlplane.apiserver.admission.chain import PLUGINS as ADMISSION
from controlplane.scheduler.plugins import ROWS as SCHEDULER_PLUGINS
from controlplane.scheduler.plugins import Handle
from controlplane.store import backends as stores
from controlplane.store.model import Place
from netproxy.modes import mode_names
from tests.controlplane.store.following import Plain

ROOT = Path(__file__).resolve().parent.parent
# Named by what reads them elsewhere: the node authorizer's graph, quotas, the loops.
PLAIN_KINDS = (
    "podtemplates",
    "csistoragecapacities",
    "csidrivers",
    "ingressclasses",
    "runtimeclasses",
    "deviceclasses",
)


@functools.lru_cache
def sources() -> dict[str, str]:
    """What each module says."""
    packages = ("agent", "apimachinery", "cni", "controlplane", "lab", "netproxy")
    files = (path for package in packages for path in sorted((ROOT / package).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def saying(text: str, within: str = "") -> set[str]:
    """The modules, below a folder, that hold `text` as a string of its own."""
    return {place for place, source in sources().items() if place.startswith(within) and f'"{text}"' in source}


def importers(module: str, name: str = "") -> set[str]:
    """The modules that import `name` from `module`, or anything where that is empty."""
    line = re.compile(rf"^ *from {re.escape(module)} import (?:\([^)]*)?[^\n]*?\b{name}", re.MULTILINE)
    return {place for place, source in sources().items() if module in source and line.search(source)}


def outside(places: Iterable[str], own: str) -> set[str]:
    return {place for place in places if not place.startswith(own)}


def kind() -> set[str]:
    """Beside its row, which also says its names where nobody else needs them."""
    named = {place for kind in PLAIN_KINDS for place in saying(kind, "controlplane/")}
    return {"controlplane/apiserver/resources/GROUP.py"} | outside(named, "controlplane/apiserver/resources/")


def admission_plugin() -> set[str]:
    found: set[str] = set()
    for plugin in ADMISSION:
        own = plugin.__module__.replace(".", "/")
        found |= outside(importers(plugin.__module__, rf"{plugin.__name__}\b"), own)
    return {"controlplane/apiserver/admission/ITS_OWN.py"} | found


def volume_plugin() -> set[str]:
    """A module of its own beside the tuple is a matter of length."""
    kinds = (type(plugin) for plugin in VOLUMES)
    found = {place for kind in kinds for place in importers(kind.__module__, rf"{kind.__name__}\b")}
    return {"agent/volumes/plugins.py"} | found


def scheduler_plugin() -> set[str]:
    """What names every one of them: the tuple, beside the module of each."""
    kinds = (type(row.make(None if row.args is None else row.args(), Handle())) for row in SCHEDULER_PLUGINS)
    named = [importers(kind.__module__, rf"{kind.__name__}\b") for kind in kinds]
    return {"controlplane/scheduler/plugins/ITS_OWN.py"} | set().union(*named)


def store() -> set[str]:
    """What is one's own beside `backends` is a matter of length; what names each there is would name one more."""
    named = set.intersection(*(saying(name, "controlplane/") for name in stores.names()))
    made = {place for name in stores.names() for place in importers(f"controlplane.store.{name}", r"\w+Store\b")}
    return {"controlplane/store/backends/ITS_OWN.py"} | named | outside(made, "controlplane/store/")


def proxy_mode() -> set[str]:
    """The files beside its folder."""
    return set.intersection(*(saying(mode) for mode in mode_names()))


ROWS: dict[str, Callable[[], set[str]]] = {
    "a kind": kind,
    "an admission plugin": admission_plugin,
    "a volume plugin": volume_plugin,
    "a scheduler plugin": scheduler_plugin,
    "a store": store,
    "a proxy mode": proxy_mode,
}


@functools.lru_cache
def table() -> dict[str, int]:
    """Row: how many files it says."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## What adding something touches")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (an? [a-z ]+) \| (?:1 folder, )?(\d+) files? \|", section, re.MULTILINE)
    return {name: int(count) for name, count in rows}


def test_every_row_is_counted() -> None:
    assert set(table()) == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_how_many_files_are_touched(row: str) -> None:
    touched = ROWS[row]()
    assert len(touched) == table()[row], f"{row}: {', '.join(sorted(touched))}"


def test_a_module_in_its_place_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up.py").write_text("def make(place, layout):\n    return place, layout\n", encoding="utf-8")
    monkeypatch.setattr(stores, "__path__", [*stores.__path__, str(tmp_path)])
    place, layout = Place(tmp_path), Plain()
    made: object = stores.build("made_up", place, layout)
    assert made == (place, layout)
    assert stores.names() == ("etcd", "made_up", "sqlite")
