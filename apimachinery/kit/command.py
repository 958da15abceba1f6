"""The one place that starts other programs: no shell, always a deadline, failures carry everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What a finished command left: its argv, exit status (negative: the signal that ended it) and output."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes


class CommandError(Exception):
    """A command failed, could not start, or passed its deadline (`returncode` is None for the last two)."""

    def __init__(self, argv: Sequence[str], returncode: int | None, stderr: str, stdin: bytes | None) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr
        self.stdin = stdin
        what = f"exited with {returncode}" if returncode is not None else "did not finish"
        super().__init__(f"{' '.join(self.argv)} {what}: {stderr.strip()[-2000:]}")


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    timeout: float,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run `argv` to its end within `timeout` seconds and return what it printed.

    At the deadline the command's whole process group is killed. `check` turns a non-zero exit status into a
    CommandError; a command that cannot start or does not finish always raises it.
    """
    process = _start(argv, stdin, env)
    waiting = asyncio.get_running_loop().run_in_executor(_WAITERS, _finish, process, timeout)
    try:
        stdout, stderr = await asyncio.shield(waiting)
    except subprocess.TimeoutExpired as error:
        raise CommandError(argv, None, f"no end after {timeout:g} s", stdin) from error
    except asyncio.CancelledError:
        _kill(process)
        await asyncio.wait([waiting])
        raise
    if check and process.returncode != 0:
        raise CommandError(argv, process.returncode, stderr.decode(errors="replace"), stdin)
    return Result(tuple(argv), process.returncode, stdout, stderr)


def run_blocking(argv: Sequence[str], *, stdin: bytes | None = None, timeout: float, check: bool = True) -> Result:
    """`run` for a thread that may wait; the command is spawned in the thread's own network namespace."""
    process = _start(argv, stdin, None)
    try:
        stdout, stderr = _finish(process, timeout)
    except subprocess.TimeoutExpired as error:
        raise CommandError(argv, None, f"no end after {timeout:g} s", stdin) from error
    if check and process.returncode != 0:
        raise CommandError(argv, process.returncode, stderr.decode(errors="replace"), stdin)
    return Result(tuple(argv), process.returncode, stdout, stderr)


def start(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, stdin: int | None = None) -> int:
    """Start a program that outlives the call, in a session of its own; returns its pid.

    Its output is appended to `log`, its input is empty or the descriptor `stdin`, its signals are the defaults. The
    caller waits for it (`os.waitpid`). Raises CommandError when there is no such program.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise CommandError(argv, None, "cannot start: no such program", None)
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    source = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0) if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0)
    return os.posix_spawn(
        program,
        list(argv),
        dict(os.environ if env is None else env),
        file_actions=[
            source,
            (os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )


# Threads only wait: spawning by vfork from here takes a fraction of what the event loop's own fork does in a large
# process, and happens in the caller's thread, hence in its network namespace.
_WAITERS = ThreadPoolExecutor(32, thread_name_prefix="command")


def _start(argv: Sequence[str], stdin: bytes | None, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    source = _in_memory(stdin) if stdin is not None else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(argv, None, f"cannot start: {error.strerror}", stdin) from error
    finally:
        if source >= 0:
            os.close(source)


def _finish(process: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bytes]:
    with process:
        try:
            return process.communicate(timeout=timeout)
        except BaseException:
            _kill(process)
            raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _in_memory(data: bytes) -> int:
    """A descriptor to read `data` from: no pipe to fill, and a command that ends early breaks no writer."""
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
