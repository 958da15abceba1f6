"""The lab's own images, by name. No such registry exists, so nothing ever asks the network for one."""

from __future__ import annotations

REGISTRY = "wherry.local"

PAUSE = f"{REGISTRY}/pause:1"
"""What holds a pod's namespaces: waits, reaps, ends on SIGTERM."""
BUSYBOX = f"{REGISTRY}/busybox:1"
"""sh, httpd, nc, wget, nslookup and the rest of Debian's busybox-static."""
PYTHON = f"{REGISTRY}/python:1"
"""The machine's python3 with its standard library, and a small web server for demonstrations."""
