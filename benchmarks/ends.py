"""Both ends of a measured connection: who asks the VIP, and, as a program of its own, the backends that answer.

`ends.py FD` takes connections from a listening socket until its standard input ends. In the asker's process the two
would wait for each other, as threads of one interpreter do.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import sys
import threading
import time
from collections import Counter

VIP = "10.96.255.1"
FIRST_EARLY_PORT = 20000
"""source ports for questions asked before there are rules: below those the kernel chooses from"""
_EARLY = itertools.count()
"""of all that is asked before there are rules: a port is not asked from again while the kernel remembers"""


def ask(timeout: float = 1.0, source_port: int = 0) -> str:
    """Who answers at the VIP, for a caller inside the node's namespace; `nobody: …` when nobody does.

    A question asked before there are rules needs a `source_port` nobody uses later: for two minutes connection
    tracking remembers that it went nowhere, and sends the next connection from that port there too.
    """
    try:
        with socket.create_connection((VIP, 80), timeout, ("", source_port) if source_port else None) as handle:
            # Ends with a reset: thousands of ports in TIME_WAIT would leave few to choose from, and each new
            # connection would search all of them.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return handle.recv(64).decode()
    except OSError as error:
        return f"nobody: {error}"


def until_answered_by(
    target: str, stop: threading.Event, seconds: float, early: bool = False, pause: float = 0.001
) -> float:
    """The moment the VIP is first answered by `target`, asked with a pause in between; `early`: there may be no rules
    yet.

    Blocks; raises TimeoutError with what answered instead.
    """
    deadline = time.perf_counter() + seconds
    instead: Counter[str] = Counter()
    while True:
        answer = ask(0.05, FIRST_EARLY_PORT + next(_EARLY) % 10000) if early else ask()
        if answer == target:
            break
        instead[answer] += 1
        # Asking without one would take the processor from those who are measured.
        time.sleep(pause)
        if time.perf_counter() > deadline or stop.is_set():
            raise TimeoutError(f"the VIP was not answered by {target} within {seconds:g} s but by {dict(instead)}")
    return time.perf_counter()


def _answer(listener: socket.socket) -> None:
    """Tell each who connects which address was asked, then say back what is said."""
    while True:
        handle, _ = listener.accept()
        with handle, contextlib.suppress(OSError):
            handle.settimeout(1)
            handle.sendall(handle.getsockname()[0].encode())
            # Until the client closes: a port in TIME_WAIT here could refuse the next translated client.
            while said := handle.recv(64):
                handle.sendall(said)


if __name__ == "__main__":
    taking = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_answer, args=(taking,), daemon=True).start()
    sys.stdin.read()
