"""UTS namespaces that a file keeps: what whoever is inside is told when it asks for the machine's hostname.

Sources: uts_namespaces(7), sethostname(2).
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from apimachinery.kit import nsfile


def create(path: Path, hostname: str) -> None:
    """Make a UTS namespace with that hostname (64 bytes at most) and have `path` keep it. A path that keeps one is an
    error.
    """
    with ThreadPoolExecutor(1, "utsns") as elsewhere:
        elsewhere.submit(_create, path, hostname).result()


def _create(path: Path, hostname: str) -> None:
    """In a thread that ends with it."""
    nsfile.unshare(nsfile.UTS)
    socket.sethostname(hostname)
    nsfile.keep(path, Path(f"/proc/self/task/{threading.get_native_id()}/ns/uts"))
