"""Imports flow one way, and each third-party library comes in by one door."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("apimachinery", "agent", "netproxy", "cni", "controlplane", "lab", "benchmarks")
MIDDLE = {"agent", "netproxy", "cni", "controlplane"}

# What each package may import of the project, besides itself.
ALLOWED = {
    "apimachinery": set(),
    **{name: {"apimachinery"} for name in MIDDLE},
    "lab": {*MIDDLE, "apimachinery", "benchmarks"},
    "benchmarks": {*MIDDLE, "apimachinery", "lab"},
}

# library: the only places (files, or directories ending in /) that may import it.
DOORS = {
    "aiohttp": (
        "apimachinery/client.py",
        "apimachinery/kit/serve.py",
        "apimachinery/kit/webserver.py",
        "controlplane/apiserver/",
        "agent/server/",
        "agent/probes/",
        "benchmarks/",
    ),
    "cryptography": ("apimachinery/pki.py",),
    "google": ("agent/cri/", "apimachinery/"),
    "grpc": ("agent/cri/",),
    "iptc": ("apimachinery/kit/iptables_legacy.py",),
    "jsonpatch": ("apimachinery/patch/",),
    "jwt": ("controlplane/apiserver/authn/",),
    "nftables": ("apimachinery/kit/nft.py",),
    "prometheus_client": ("apimachinery/kit/metrics.py",),
    "pyroute2": ("apimachinery/kit/", "netproxy/ipvs/"),
    "sqlite3": ("controlplane/store/", "benchmarks/"),
    "subprocess": ("apimachinery/kit/command.py", "benchmarks/"),
    "uvloop": ("apimachinery/kit/lifecycle.py", "benchmarks/"),
    "yaml": (
        "apimachinery/kit/settings.py",
        "apimachinery/kubeconfig.py",
        "apimachinery/manifests.py",
        "apimachinery/yamltext.py",
        "agent/sources/",
        "controlplane/apiserver/codec.py",
        "lab/",
        "benchmarks/",
    ),
}

# Modules whose names say nothing about what they own.
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every absolute import, wherever it stands in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in modules()])
def test_imports_flow_one_way_and_through_the_doors(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    package = place.partition("/")[0]
    wrong = []
    for line, name in imports(path):
        top = name.partition(".")[0]
        if top in {*PACKAGES, "tests"} and top != package and top not in ALLOWED[package]:
            wrong.append(f"{place}:{line} imports {name}: {package} may not know {top}")
        if place.startswith("apimachinery/kit/") and top == "apimachinery" and not name.startswith("apimachinery.kit"):
            wrong.append(f"{place}:{line} imports {name}: the kit knows no Kubernetes")
        doors = DOORS.get(top)
        if doors and not any(place == door or (door.endswith("/") and place.startswith(door)) for door in doors):
            wrong.append(f"{place}:{line} imports {name}: use its door, {doors[0]}")
    assert not wrong, "\n".join(wrong)


def test_planners_read_no_clock_and_touch_nothing() -> None:
    banned = {"time", "random", "logging", "os", "socket", "asyncio", "subprocess"}
    wrong = []
    for path in modules():
        if path.name in ("plan.py", "planner.py") and path.parts[-2] != "node":
            wrong += [f"{path}:{line} {name}" for line, name in imports(path) if name.partition(".")[0] in banned]
    assert not wrong, "\n".join(wrong)


def test_names_say_what_a_module_owns() -> None:
    assert not [str(path) for path in modules() if path.stem in VAGUE]


def test_every_package_has_its_charter() -> None:
    missing = [
        str(path)
        for path in modules()
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not missing, f"packages without a docstring: {missing}"
