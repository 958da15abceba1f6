"""The one place that starts other programs: no shell, always a deadline, failures carry everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
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
    """A command failed, could not start, or passed its deadline (``returncode`` is None for the last two)."""

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
    """Run ``argv`` to its end within ``timeout`` seconds and return what it printed.

    At the deadline the command's whole process group is killed. ``check`` turns a non-zero exit status
    into a CommandError; a command that cannot start or does not finish always raises it.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(argv, None, f"cannot start: {error.strerror}", stdin) from error
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(stdin), timeout)
    except asyncio.TimeoutError as error:
        raise CommandError(argv, None, f"no end after {timeout:g} s", stdin) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    if check and process.returncode != 0:
        raise CommandError(argv, process.returncode, stderr.decode(errors="replace"), stdin)
    return Result(tuple(argv), process.returncode, stdout, stderr)


def start(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a program that outlives the call, in a session of its own; returns its pid.

    Its output is appended to ``log``, its input is empty, its signals are the defaults. The caller waits for
    it (``os.waitpid``). Raises CommandError when there is no such program.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise CommandError(argv, None, "cannot start: no such program", None)
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        program,
        list(argv),
        dict(os.environ if env is None else env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP],
    )
