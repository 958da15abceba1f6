"""The command line as tests run it: each command a process of its own, forked from one that has imported it.

    python -m tests.cluster.commands DESCRIPTOR

An interpreter that reads all of it anew is most of what a command takes, and the tests of clusters give some two
hundred. Everything else is as a person has it: arguments, environment, streams, exit status. That it also starts by
itself, and how it does under signals, is shown where tests start `python -m lab`.

A request is one packet on DESCRIPTOR, `{"arguments": [...], "environment": {...}}`, with four descriptors: standard
input, output and error, and where the process id and then the status (as waitpid(2) gives it) are written, a line each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKET = 1 << 17
# Not all: one imports its own when it is asked for.
AHEAD = ("lab.cli", *(f"lab.commands.{name}" for name in ("life", "look", "nodes", "images", "backups", "trace")))


class Commands:
    """Gives commands. The process that they are forked from starts with this and ends with the one that made it."""

    def __init__(self) -> None:
        self._link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            argv = [sys.executable, "-m", __name__, str(far.fileno())]
            self._process = subprocess.Popen(argv, pass_fds=[far.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        """End it. Otherwise it ends by itself once the process that made this has ended."""
        self._link.close()
        self._process.wait()

    def run(
        self, arguments: list[str], environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run() does for `wherry ARGUMENTS`; what it prints is read until nobody holds it any more.
        Raises TimeoutExpired once the command, still there after `timeout` seconds, has been killed.
        """
        with ExitStack() as stack:
            ends = [os.pipe() for _ in range(3)]
            readers = [stack.enter_context(os.fdopen(end, encoding="utf-8")) for end, _ in ends]
            nothing = os.open(os.devnull, os.O_RDONLY)
            given = [nothing, *(end for _, end in ends)]
            request = json.dumps({"arguments": arguments, "environment": environment}).encode()
            socket.send_fds(self._link, [request], given)
            for descriptor in given:
                os.close(descriptor)
            threads = stack.enter_context(ThreadPoolExecutor(2))
            out, err = (threads.submit(reader.read) for reader in readers[:2])
            told = readers[2]
            pid = int(told.readline())
            late = not select.select([told], [], [], timeout)[0]
            if late:
                os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(int(told.readline()))
            if late:
                raise subprocess.TimeoutExpired(arguments, timeout)
            return subprocess.CompletedProcess(arguments, status, out.result(), err.result())


def serve(link: socket.socket) -> dict[str, Any] | None:
    """Fork until nobody asks any more (None). In a fork: return what it is to run."""
    while True:
        packet, descriptors, _, _ = socket.recv_fds(link, PACKET, 4)
        if not packet:
            return None
        if os.fork() == 0:
            link.close()
            return keep(json.loads(packet), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def keep(request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Fork once more, and tell of the child until it ends. Returns in the child."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, told = descriptors
    if pid := os.fork():
        for descriptor in streams:
            os.close(descriptor)
        os.write(told, f"{pid}\n".encode())
        os.write(told, f"{os.waitpid(pid, 0)[1]}\n".encode())
        os._exit(0)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    return request


def main() -> None:
    """Be the process that is forked, and in each fork a command."""
    link = socket.socket(fileno=int(sys.argv[1]))
    # Keepers are waited for by nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for name in AHEAD:
        importlib.import_module(name)
    # A fork's collector would look at all of that, and copy it by looking.
    gc.freeze()
    request = serve(link)
    if request is None:
        return
    # Those that there are were made for other files.
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", errors="backslashreplace")
    sys.stderr.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module("lab", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
