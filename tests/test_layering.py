"""Imports flow one way, and each third-party library comes in by one door."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("apimachinery", "agent", "netproxy", "cni", "controlplane", "lab", "benchmarks")
MIDDLE = {"agent", "netproxy", "cni", "controlplane"}

# What each package may import of the project, besides itself.
ALLOWED = {
    "apimachinery": set(),
    **{name: {"apimachinery"} for name in MIDDLE},
    "lab": {*MIDDLE, "apimachinery"},
    "benchmarks": {*MIDDLE, "apimachinery", "lab"},
}

# library: the only places (files, or directories ending in /) that may import it.
DOORS = {
    "aiohttp": ("apimachinery/kit/http.py", "benchmarks/"),
    "cronsim": ("controlplane/controllers/cronjob/schedule.py",),
    "cryptography": ("apimachinery/pki.py", "apimachinery/signing.py"),
    "dnslib": ("netproxy/dns/wire.py", "benchmarks/"),
    "google": ("agent/cri/", "apimachinery/", "controlplane/store/etcd/"),
    "grpc": ("agent/cri/", "controlplane/store/etcd/"),
    "iptc": ("apimachinery/kit/iptables_legacy.py",),
    "jsonpatch": ("apimachinery/patch/",),
    "jwt": ("controlplane/apiserver/authn/",),
    "nftables": ("apimachinery/kit/nft.py",),
    "prometheus_client": ("apimachinery/kit/metrics.py",),
    "pyroute2": ("apimachinery/kit/",),
    "re2": ("apimachinery/patterns.py",),
    "sqlite3": ("controlplane/store/", "benchmarks/"),
    "subprocess": ("apimachinery/kit/command.py", "benchmarks/"),
    "uvloop": ("apimachinery/kit/loops.py",),
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

# Floors inside a package, the top first: a folder imports from lower floors alone, never from its own or above. What
# lies in the package itself is the roof (composition) or the ground (vocabulary: request, codec) and is held by the
# test of circles only.
FLOORS = {
    "apimachinery": (
        {"volumes"},
        {"apply", "cel", "patch"},
        {"protobuf", "schema", "selectors", "pods"},
        {"data", "errors"},
        {"kit"},
    ),
    "controlplane": ({"cloud"}, {"controllers"}, {"apiserver", "scheduler"}, {"store"}),
    "controlplane/apiserver": (
        {"custom"},
        {"admission", "aggregation"},
        {"subresources"},
        {"streams"},
        {"authz", "maintained"},
        {"registry", "resources"},
        {"http", "openapi", "strategies"},
        {"rules"},
        {"structural"},
        {"catalog"},
        {"cache", "formats"},
        {"advice", "authn", "conversion", "defaults", "expressions", "tables"},
    ),
    "agent": (
        {"pods", "server"},
        {"containers"},
        {"env", "leftovers"},
        {"volumes"},
        {"admission", "devices", "logs", "node", "objects", "probes", "sources", "status"},
        {"host"},
        {"cri"},
    ),
    "netproxy": ({"trace"}, {"ipvs", "policy", "userspace"}, {"dns", "iptables", "nftables"}),
    "cni": ({"node"}, {"bandwidth", "bridge", "hostlocal", "portmap"}),
    "lab": ({"commands"}, {"simulate", "cloud", "e2e", "standalone", "testing"}, {"images"}),
}

# Modules whose names say nothing about what they own.
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


@dataclass(frozen=True)
class Module:
    """What these tests ask of a file. Each is read once: there are more than a thousand."""

    docstring: str
    imports: tuple[tuple[int, str], ...]
    """(line, dotted name) of every absolute import, wherever it stands in the file."""


@functools.cache
def read(path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    every: list[tuple[int, str]] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            every += ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            every += ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
    return Module(ast.get_docstring(tree) or "", tuple(every))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement, however deep. No expression is looked into, which is where most nodes are and no import is."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        yield node
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            left += getattr(node, inside, ())


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    # Each statement that holds others, twice: as what it is and in an `else`, a handler or a case.
    heads = "def f():", "async def f():", "class C:", "if a:", "for a in b:", "while a:", "with a:", "try:"
    holding = [f"{head}\n    import m{n}" for n, head in enumerate(heads[:-1])]
    holding += [f"{head}\n    pass\nelse:\n    import e{n}" for n, head in enumerate(heads[3:6])]
    holding += ["try:\n    import t\nexcept E:\n    import h\nelse:\n    import o\nfinally:\n    import z"]
    holding += ["match a:\n    case 1:\n        import c", "async def g():\n    async for a in b:\n        import s"]
    source = tmp_path / "holding.py"
    source.write_text("\n".join(holding))
    found = {name for _, name in read(source).imports}
    assert found == {*(f"m{n}" for n in range(7)), "e0", "e1", "e2", *"thozcs"}


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in modules()])
def test_imports_flow_one_way_and_through_the_doors(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    package = place.partition("/")[0]
    wrong = []
    for line, name in read(path).imports:
        top = name.partition(".")[0]
        if top in {*PACKAGES, "tests"} and top != package and top not in ALLOWED[package]:
            wrong.append(f"{place}:{line} imports {name}: {package} may not know {top}")
        if place.startswith("apimachinery/kit/") and top == "apimachinery" and not name.startswith("apimachinery.kit"):
            wrong.append(f"{place}:{line} imports {name}: the kit knows no Kubernetes")
        doors = DOORS.get(top)
        if doors and not any(place == door or (door.endswith("/") and place.startswith(door)) for door in doors):
            wrong.append(f"{place}:{line} imports {name}: use its door, {doors[0]}")
    assert not wrong, "\n".join(wrong)


def _floor(package: str, place: str) -> tuple[int, str] | None:
    """The floor (0 is the top) and the folder of a file or dotted module; None for what is in no folder of it."""
    inside = place.replace(".", "/").removeprefix(package + "/")
    folder = inside.partition("/")[0]
    if inside == place.replace(".", "/") or folder == inside:
        return None
    return next(((n, folder) for n, names in enumerate(FLOORS[package]) if folder in names), None)


@pytest.mark.parametrize("package", FLOORS)
def test_folders_import_from_lower_floors_alone(package: str) -> None:
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        place = path.relative_to(ROOT).with_suffix("").as_posix()
        here = _floor(package, place)
        for line, name in read(path).imports:
            there = _floor(package, name + "/")
            if here and there and here[1] != there[1] and there[0] <= here[0]:
                wrong.append(f"{place}:{line} imports {name}: {here[1]} lies below or beside {there[1]}")
    assert not wrong, "\n".join(wrong)


def test_every_folder_of_a_package_with_floors_has_one() -> None:
    for package, floors in FLOORS.items():
        found = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert found - set().union(*floors) <= {"bin"}, f"{package}: folders without a floor"


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_reaches_itself_by_its_imports() -> None:
    """Imports in functions and those for types alone count, too: whoever reads follows them."""
    known = {_dotted(path): path for path in modules()}
    graph = {
        module: {loaded for _, name in read(path).imports for loaded in _loaded(module, name, known)} - {module}
        for module, path in known.items()
    }
    assert sum(map(len, graph.values())) > 5000
    assert not (circle := _circle(graph)), " -> ".join(circle)


def _loaded(module: str, name: str, known: Container[str]) -> set[str]:
    """What an import of a dotted name loads of ours: what it asks for, and the packages around that, save those in
    which the module itself lies.
    """
    parts = name.split(".")
    found = [way for n in range(len(parts)) if (way := ".".join(parts[: n + 1])) in known]
    return {*found[-1:], *(way for way in found if not f"{module}.".startswith(f"{way}."))}


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle, as the modules on it in order; empty when there is none."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph.get(module, ())):
            if circle := walk(other, [*way, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in graph if (circle := walk(module, []))), [])


# What a pure module may not import.
IMPURE = {"time", "random", "logging", "os", "asyncio", "subprocess"}
# What it may not call: clocks and files. The kernel's numbers come with `socket`, of which it may call nothing.
CLOCKS_AND_FILES = {"now", "utcnow", "today", "read_text", "read_bytes", "write_text", "write_bytes"}


def _is_pure(path: Path) -> bool:
    """A planner, or what says of itself that it is pure."""
    if path.name in ("plan.py", "planner.py"):
        return path.parts[-2] != "node"
    words = " ".join(read(path).docstring.split())
    return path.name != "__init__.py" and re.search(r"(?:^|[.;:] )[Pp]ure[.;:]", words) is not None


def _impure_calls(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_impure(node.func):
            yield node.lineno, ast.unparse(node.func)


def _is_impure(called: ast.expr) -> bool:
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    while isinstance(called, ast.Attribute):
        called = called.value
        if isinstance(called, ast.Name) and called.id == "socket":
            return True
    return (name == "open" and isinstance(called, ast.Name) and called.id == "open") or name in CLOCKS_AND_FILES


def test_clocks_files_and_sockets_are_seen() -> None:
    source = "a = datetime.datetime.now()\nopen(a)\nPath(a).read_text()\nsocket.create_connection(a)\nb = facts.now\n"
    assert [line for line, _ in _impure_calls(source)] == [1, 2, 3, 4]


def test_what_is_pure_reads_no_clock_and_touches_nothing() -> None:
    pure = [path for path in modules() if _is_pure(path)]
    assert len(pure) > 50
    wrong = [
        f"{path}:{line} {name}"
        for path in pure
        for line, name in read(path).imports
        if name.partition(".")[0] in IMPURE
    ]
    wrong += [f"{path}:{line} {name}()" for path in pure for line, name in _impure_calls(path.read_text("utf-8"))]
    assert not wrong, "\n".join(wrong)


def test_names_say_what_a_module_owns() -> None:
    assert not [str(path) for path in modules() if path.stem in VAGUE]


def test_every_package_has_its_charter() -> None:
    missing = [str(path) for path in modules() if path.name == "__init__.py" and not read(path).docstring]
    assert not missing, f"packages without a docstring: {missing}"


def _prose(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every comment and of every string that stands for itself, which is what a docstring is."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def test_prose_has_one_markup() -> None:
    """Markdown, as in the docs beside it: code stands between single backticks or is indented, and no field lists of
    Sphinx's.
    """
    other = re.compile(
        r"``|^\s*::$|^\s*:(?:param|return|rtype|raise|ivar|var)s?\b.*:|:(?:class|func|meth|mod|attr):`", re.M
    )
    assert [
        bool(other.search(text)) for _, text in _prose('"""``a``"""\n# :func:`b`\n"""`c`"""\n"""d\n\n::\n"""\n')
    ] == [
        True,
        True,
        False,
        True,
    ]
    tests = sorted((ROOT / "tests").rglob("*.py"))
    sources = {path: path.read_text(encoding="utf-8") for path in (*modules(), *tests, ROOT / "wherry")}
    wrong = [
        f"{path}:{line} {text.strip()[:60]}"
        for path, source in sources.items()
        # Most hold nothing like it even in their code.
        if other.search(source)
        for line, text in _prose(source)
        if other.search(text)
    ]
    assert not wrong, "\n".join(wrong)
