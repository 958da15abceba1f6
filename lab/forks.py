"""The supervisor's end of the fork server: starts it, asks it, does without it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from apimachinery.kit import command
from lab import processes
from lab.forkserver import PACKET
from lab.process import Process

log = logging.getLogger(__name__)

# An import takes a second of a core, on a machine that is busy many times that.
DEADLINE = 40.0
# Room for the arguments of the forks, which are written over this one.
_PADDING = "." * 4096


class Lost(Exception):
    """The fork server gave no answer and was ended: it may or may not have done what it was asked for."""


class Forks:
    """The fork server of one supervisor; started again when one ended. `log`: where its output goes."""

    def __init__(self, lab: str, log: Path) -> None:
        self.lab = lab
        self._log = log
        self._link: socket.socket | None = None
        self._pid = 0
        self._turn = asyncio.Lock()

    async def take_over(self) -> None:
        """End what an earlier supervisor's was in the middle of: a fork that nobody knows of yet looks like its server,
        and would become the second daemon of its kind.
        """
        await processes.kill([lambda: processes.fork_servers(self.lab)])

    def open(self) -> None:
        """Have one run, which imports ahead. CommandError, OSError."""
        if self._link is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                ours.setblocking(False)
                argv = [sys.executable, "-m", processes.FORK_SERVER, self.lab, _PADDING]
                self._pid = command.start(argv, self._log, stdin=theirs.fileno())
            self._link = ours

    async def start(self, process: Process) -> int:
        """The pid of a fork that is the process; 0 when there can be none. Lost when it may be there all the same."""
        answer = await self._ask(
            {
                "argv": process.argv,
                "log": process.log,
                "namespace": process.namespace,
                "mounts": process.mounts,
                "uts": process.uts,
                "capabilities": process.capabilities,
            }
        )
        if "error" in answer:
            log.warning("%s is not forked: %s", process.name, answer["error"])
        return int(answer.get("pid", 0))

    async def reap(self, pid: int) -> int | None:
        """The wait status of a fork that has ended; None when it is nobody's to know."""
        with contextlib.suppress(Lost):
            return (await self._ask({"reap": pid})).get("status")
        return None

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            loop = asyncio.get_running_loop()
            try:
                self.open()
                assert self._link is not None
                await loop.sock_sendall(self._link, json.dumps(request).encode())
                packet = await asyncio.wait_for(loop.sock_recv(self._link, PACKET), DEADLINE)
                if not packet:
                    raise ConnectionError("it has ended")
            except (OSError, command.CommandError, asyncio.TimeoutError) as error:
                log.warning("the fork server is given up: %s", error or type(error).__name__)
                self.close()
                raise Lost from error
            except asyncio.CancelledError:
                # Its answer would be taken for the next one's.
                self.close()
                raise
            answer: dict[str, Any] = json.loads(packet)
            return answer

    def close(self) -> None:
        """End it, and forks on their way, which are still in its group. All others go on."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0
