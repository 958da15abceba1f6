"""Ports for servers that a bench or a test starts, and may start again.

Not those which the kernel gives away of itself, for while a server is down the next who asks for any port can be given
its own.
"""

from __future__ import annotations

import contextlib
import random
import socket

# Below what the kernel gives away of itself (ip_local_port_range), and below node ports.
_FROM, _TO = 16_000, 30_000


def free(count: int = 1, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Ports of the loopback address that nobody has now, all different."""
    found: list[int] = []
    for port in random.sample(range(_FROM, _TO), _TO - _FROM):
        if len(found) == count:
            break
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found
