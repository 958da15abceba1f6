"""The front door: what it reads from pyproject.toml, when .venv counts as complete, what it says to whom."""

import ast
import importlib.machinery
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent.parent
PYPROJECT = """\
[project]
dependencies = [
    "aiohttp>=3.14,<4",
    "tomli>=2; python_version < '3.11'",
]

[project.optional-dependencies]
test = [
    "pytest>=8",
]
"""
LOCKS = ("test", "run", "build", "kubectl", "legacy")


@pytest.fixture
def wherry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, its checkout an empty one."""
    loader = importlib.machinery.SourceFileLoader("wherry_bootstrap", str(HERE / "wherry"))
    loader.path = str(HERE / "wherry")
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "locks").mkdir()
    for name in LOCKS:
        (tmp_path / "locks" / f"{name}.txt").write_text(f"{name}==1 --hash=sha256:00\n")
    module.LOCKS = tmp_path / "locks"  # type: ignore[attr-defined]
    module.HERE = tmp_path  # type: ignore[attr-defined]
    module.VENV = tmp_path / ".venv"  # type: ignore[attr-defined]
    module.PYTHON = module.VENV / "bin" / "python"  # type: ignore[attr-defined]
    module.UNFINISHED = module.VENV / "unfinished"  # type: ignore[attr-defined]
    return module


@pytest.fixture
def pip(wherry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> "list[list[str]]":
    """venv and pip replaced: what they were asked, and an environment as venv leaves it."""
    asked: list[list[str]] = []

    def attempt(title: str, argv: "list[str]", **_: str) -> "tuple[int, str]":
        asked.append(argv)
        if "venv" in argv:
            wherry.PYTHON.parent.mkdir(parents=True)
            wherry.PYTHON.touch()
            (wherry.VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}").mkdir(parents=True)
        return (1, "no such thing") if failing & {Path(word).stem for word in argv} else (0, "")

    failing: set[str] = set()
    monkeypatch.setattr(wherry, "attempt", attempt)
    monkeypatch.setattr(wherry, "failing", failing, raising=False)
    return asked


def test_lists_are_read_with_their_markers(wherry: ModuleType) -> None:
    assert wherry.requirements(PYPROJECT, "dependencies") == ["aiohttp>=3.14,<4", "tomli>=2; python_version < '3.11'"]
    assert wherry.requirements(PYPROJECT, "test") == ["pytest>=8"]


def test_a_list_that_is_not_there_is_named(wherry: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        wherry.requirements(PYPROJECT, "docs")
    assert "no list docs" in capsys.readouterr().err


def pins(name: str) -> "dict[str, list[str]]":
    """The releases of each project that a lock names, after it was seen that each has hashes."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", (HERE / "locks" / f"{name}.txt").read_text()):
        if match := re.match(r"([a-z0-9.-]+)==([^ ;\\]+)", block):
            assert "--hash=sha256:" in block, block
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.mark.parametrize(
    ("name", "lists"), [("run", ["dependencies"]), ("test", ["dependencies", "test"]), *((n, [n]) for n in LOCKS[2:])]
)
def test_each_lock_holds_what_pyproject_asks_for(wherry: ModuleType, name: str, lists: "list[str]") -> None:
    """When this fails, run `./wherry lock`."""
    text = (HERE / "pyproject.toml").read_text()
    locked, everything = pins(name), pins("test")
    for entry in (entry for each in lists for entry in wherry.requirements(text, each)):
        wanted = Requirement(entry)
        releases = locked.get(canonicalize_name(wanted.name), [])
        assert releases, f"locks/{name}.txt has no {wanted.name}: run ./wherry lock"
        assert all(wanted.specifier.contains(release) for release in releases), f"{entry}: run ./wherry lock"
    # The same releases, whatever is installed first.
    for project, releases in locked.items():
        assert name in LOCKS[2:] or everything.get(project) == releases, project
    assert "http:" not in (HERE / "locks" / f"{name}.txt").read_text()


def test_every_list_has_a_lock(wherry: ModuleType) -> None:
    text = (HERE / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("[tool.")[0]
    extras = set(re.findall(r"^(\w+) = \[$", text, re.MULTILINE))
    assert extras == {"test", *wherry.OPTIONAL}
    assert {path.stem for path in (HERE / "locks").iterdir()} == {"run", *extras}


def test_only_what_is_locked_is_installed(wherry: ModuleType, pip: "list[list[str]]") -> None:
    wherry.install_environment(False)
    installs = [argv for argv in pip if "install" in argv]
    assert [Path(argv[argv.index("-r") + 1]).stem for argv in installs] == ["run", "build", "kubectl", "legacy"]
    assert all("--require-hashes" in argv for argv in installs)
    assert ["--no-build-isolation" in argv for argv in installs] == [False, False, False, True]


def test_an_environment_is_complete_once_made_and_until_the_lists_change(
    wherry: ModuleType, pip: "list[list[str]]"
) -> None:
    assert not wherry.complete(False)
    wherry.install_environment(False)
    assert wherry.complete(False)
    assert not wherry.complete(True)
    (wherry.LOCKS / "run.txt").write_text("run==2 --hash=sha256:00\n")
    assert not wherry.complete(False)


def test_an_environment_for_tests_serves_the_rest(wherry: ModuleType, pip: "list[list[str]]") -> None:
    wherry.install_environment(True)
    assert wherry.complete(True)
    assert wherry.complete(False)


def test_what_a_killed_run_left_is_made_anew(wherry: ModuleType, pip: "list[list[str]]") -> None:
    wherry.install_environment(False)
    wherry.UNFINISHED.touch()
    (wherry.VENV / "half").touch()
    assert not wherry.complete(False)
    wherry.install_environment(False)
    assert wherry.complete(False)
    assert not (wherry.VENV / "half").exists()


def test_another_python_gets_another_environment(wherry: ModuleType, pip: "list[list[str]]") -> None:
    wherry.VENV.mkdir()
    (wherry.VENV / "lib" / "python3.7").mkdir(parents=True)
    wherry.PYTHON.parent.mkdir()
    wherry.PYTHON.touch()
    wherry.install_environment(False)
    assert "venv" in pip[0]
    assert not (wherry.VENV / "lib" / "python3.7").exists()


def test_an_optional_package_that_fails_stops_nothing(
    wherry: ModuleType, pip: "list[list[str]]", capsys: pytest.CaptureFixture[str]
) -> None:
    wherry.failing.add("legacy")
    wherry.install_environment(False)
    assert wherry.complete(False)
    assert "going on without: legacy iptables" in capsys.readouterr().err


def test_extras_can_be_left_out_and_so_can_the_compilers_they_need(
    wherry: ModuleType, pip: "list[list[str]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    wherry.failing.add("legacy")
    left_out = wherry.extras_left_out(["--without", "legacy", "--without", "build"])
    wherry.install_environment(False, left_out)
    assert wherry.complete(False)
    assert not any("legacy.txt" in word for argv in pip for word in argv)
    monkeypatch.setattr(wherry, "present", lambda what: False)
    assert "gcc" in wherry.missing(False, True)
    assert "gcc" not in wherry.missing(False, True, left_out)
    for wrong in (["--without"], ["--without", "all"], ["--with", "legacy"], ["legacy"]):
        with pytest.raises(SystemExit):
            wherry.extras_left_out(wrong)


def test_a_failing_pip_is_told_and_the_environment_that_worked_stays(
    wherry: ModuleType, pip: "list[list[str]]", capsys: pytest.CaptureFixture[str]
) -> None:
    wherry.install_environment(False)
    (wherry.LOCKS / "run.txt").write_text("run==2 --hash=sha256:00\n")
    wherry.failing.add("run")
    with pytest.raises(SystemExit):
        wherry.install_environment(False)
    assert "no such thing" in capsys.readouterr().err
    assert wherry.PYTHON.exists()
    assert not wherry.UNFINISHED.exists()
    assert not wherry.complete(False)


def test_programs_from_elsewhere_count(wherry: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "wherry-test-runc"
    assert not wherry.present("wherry-test-runc")
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert wherry.present("wherry-test-runc")
    assert wherry.present(str(program))


def test_packages_are_never_removed_to_install_others(wherry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def attempt(title: str, argv: list[str], **_: str) -> tuple[int, str]:
        asked.append(argv)
        return 0, ""

    monkeypatch.setattr(wherry, "attempt", attempt)
    monkeypatch.setattr(wherry.shutil, "which", lambda name, path=None: "/usr/bin/apt-get")
    wherry.install_packages(["runc"])
    assert "--no-remove" in asked[-1]
    assert asked[-1][-1] == "runc"


def test_without_apt_get_the_packages_are_listed(
    wherry: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wherry.shutil, "which", lambda name, path=None: None)
    with pytest.raises(SystemExit):
        wherry.install_packages(["runc", "nftables"])
    assert "no apt-get to install them: runc, nftables" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up", "--nodes", "1"], "`up` needs root: sudo ./wherry up --nodes 1"),
        (["status"], "nothing is installed yet: run `sudo ./wherry up` first"),
    ],
)
def test_commands_that_cannot_run_yet_say_what_to_do(
    wherry: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: "list[str]",
    says: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        wherry.prepare(arguments)
    assert ended.value.code == 1
    assert says in capsys.readouterr().err


def test_commands_that_look_install_nothing(
    wherry: ModuleType, pip: "list[list[str]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    wherry.install_environment(False)
    (wherry.LOCKS / "run.txt").write_text("run==2 --hash=sha256:00\n")
    monkeypatch.setattr(wherry, "install", lambda tests: pytest.fail("installed"))
    wherry.prepare(["down"])
    wherry.prepare(["kubeconfig", "--name", "x"])


def test_help_needs_nothing(wherry: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wherry.prepare(["--help"])
    assert ended.value.code == 0
    assert "sudo ./wherry up" in capsys.readouterr().out


def test_an_older_python_is_refused_in_a_line(wherry: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ast.parse((HERE / "wherry").read_text(), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit):
        wherry.main()


def test_a_failing_step_shows_what_it_printed(wherry: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        wherry.run("a step", ["sh", "-c", "echo so it is; exit 3"])
    told = capsys.readouterr().err
    assert "so it is" in told
    assert "a step: sh -c echo so it is; exit 3 … ended with status 3" in told


def ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_an_interrupted_step_is_interrupted_itself_and_waited_for(wherry: ModuleType, tmp_path: Path) -> None:
    script = (
        f"import runpy, signal, os, sys\n"
        f"w = runpy.run_path({str(HERE / 'wherry')!r})\n"
        f"w['talk']()\n"
        f"step = \"trap 'sleep 0.2; echo ended > {tmp_path}/ended; exit 1' INT; echo > {tmp_path}/begun; "
        f'while :; do sleep 0.05; done"\n'
        f"try:\n    w['attempt']('step', ['sh', '-c', step])\nexcept KeyboardInterrupt:\n    sys.exit(42)\n"
    )

    # As in what a script started in the background: the interrupt is caught all the same.
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, preexec_fn=ignore_interrupt)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 42
    assert (tmp_path / "ended").exists()


def test_an_interrupt_while_a_step_starts_reaches_the_step(
    wherry: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        """Ctrl-C comes when the step runs already, but nobody holds its process yet."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    handler = signal.getsignal(signal.SIGINT)
    step = f"trap 'echo ended > {tmp_path}/ended; exit 1' INT; echo > {tmp_path}/begun; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt):
        wherry.attempt("step", ["sh", "-c", step])
    assert (tmp_path / "ended").exists()
    assert signal.getsignal(signal.SIGINT) is handler
