"""What a command inherits and does not rely on. Each case is a child that was started so."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import os, resource, signal, sys
from lab import inherited
inherited.settle()
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler,
      signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
      signal.pthread_sigmask(signal.SIG_BLOCK, []), oct(os.umask(0)),
      resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 4000,
      "/usr/sbin" in os.environ["PATH"], bool(os.environ["HOME"]), "\\u2713")
"""
RIGHT = "True True set() 0o22 True True True "


def child(
    before: Callable[[], object] | None = None, code: str = SHOW, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})}
    argv = [sys.executable, "-c", code]
    return subprocess.run(argv, preexec_fn=before, capture_output=True, env=environment, timeout=60, check=False)


def ignored() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def few_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))


def gone_directory() -> None:
    Path("/tmp/whtgone").mkdir(exist_ok=True)
    os.chdir("/tmp/whtgone")
    Path("/tmp/whtgone").rmdir()


@pytest.mark.parametrize(
    "before",
    [None, ignored, blocked, lambda: os.umask(0o077), lambda: os.umask(0), few_files, gone_directory],
    ids=["nothing", "signals ignored", "signals blocked", "umask 077", "umask 000", "few files", "directory gone"],
)
def test_a_command_settles_whatever_it_was_given(before: Callable[[], object] | None) -> None:
    done = child(before)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith(RIGHT), done.stdout


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
        {"LANG": "de_DE.ISO-8859-1", "PYTHONIOENCODING": "latin-1"},
        {"PATH": "/usr/bin:/bin", "HOME": "", "TERM": "dumb"},
    ],
)
def test_no_character_is_too_much_for_a_stream(env: dict[str, str]) -> None:
    done = child(env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("latin-1").startswith(RIGHT)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_what_is_opened_later_is_no_standard_stream(closed: tuple[int, ...]) -> None:
    code = SHOW + "sys.exit(0 if os.open('/dev/null', os.O_RDONLY) > 2 else 5)"

    def close() -> None:
        for number in closed:
            os.close(number)

    assert child(close, code).returncode == 0


def test_a_terminal_that_can_do_nothing_gets_plain_lines() -> None:
    code = (
        "import pty, os, sys\nfrom pathlib import Path\n"
        "pid, fd = pty.fork()\n"
        "if pid == 0:\n"
        "    from lab.progress import Progress\n"
        "    with Progress().step('a step'): pass\n"
        "    os._exit(0)\n"
        "told = b''\n"
        "try:\n"
        "    while True: told += os.read(fd, 1000)\n"
        "except OSError: pass\n"
        "sys.stdout.buffer.write(told)\n"
    )
    assert b"\x1b" in child(None, code, {"TERM": "xterm"}).stdout
    for term in ("dumb", ""):
        plain = child(None, code, {"TERM": term}).stdout
        assert b"\x1b" not in plain and plain.count(b"a step") == 1


def test_modules_in_the_persons_directory_are_not_ours(tmp_path: Path) -> None:
    """`python -m` would find them first, as root."""
    for name in ("lab", "click", "json", "asyncio"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)")
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("no environment beside the script")
    argv, env = [str(ROOT / "wherry"), "help"], {"PATH": os.environ["PATH"]}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: wherry" in done.stdout
