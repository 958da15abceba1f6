"""Our daemons as a lab starts them: forks of a process that has imported them (`lab.forkserver`).

A daemon that is executed spends half a second to a whole one of a core on imports, and tests of daemons that are
killed and started again start many. That each of them starts by itself, too, is shown where they are installed
(tests/vagrant) and by benchmarks.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import processes
from lab.forkserver import PACKET, SOURCE

# Room for the arguments of the forks, which are written over these.
_PADDING = "." * 4096


class Forked:
    """A process that somebody else has forked, told of as `subprocess.Popen` tells of one's own."""

    def __init__(self, server: _Server, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._handle = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._handle)

    def poll(self) -> int | None:
        """The exit status, as `wait`; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, a signal's number negative. Raises TimeoutExpired after `timeout` seconds."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._handle], [], [], timeout)[0]:
            status = self._server.ask({"reap": self.pid})["status"]
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens where it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    """A fork server; it ends with the process that made this. Many threads may ask."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            # The network is this process's: the caller's thread may be in a namespace that is to go.
            apart = ["nsenter", f"--net=/proc/{os.getpid()}/ns/net"]
            argv = [*apart, sys.executable, "-m", processes.FORK_SERVER, "tests", _PADDING]
            self._process = subprocess.Popen(argv, stdin=far.fileno(), cwd=SOURCE)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._turn:
            self._link.send(json.dumps(request).encode())
            answer: dict[str, Any] = json.loads(self._link.recv(PACKET) or '{"error": "the fork server has ended"}')
        if "error" in answer:
            raise RuntimeError(f"{request}: {answer['error']}")
        return answer


@functools.cache
def _server() -> _Server:
    return _Server()


def forked(argv: Sequence[str], log: Path, namespace: Path) -> Forked:
    """A fork that is `python -m MODULE ...` in the network namespace and appends to the log."""
    request = {"argv": list(argv), "log": str(log), "namespace": str(namespace), "mounts": "", "uts": ""}
    server = _server()
    return Forked(server, server.ask({**request, "capabilities": ["all"]})["pid"])
