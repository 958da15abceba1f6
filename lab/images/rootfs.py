"""What is inside the lab's images, read from this machine's own Debian packages.

The Python image is optional in the sense that it is only made when asked for: it is 30 times the others.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from apimachinery.kit import command
from lab.images import busybox as busybox_files
from lab.images import catalog
from lab.images.oci import Entry, Image

DEADLINE = 30.0

_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"
_NSSWITCH = b"hosts: files dns\n"

# What a runtime mounts over. It would make what is missing, in every container's own layer, at each start.
_MOUNT_POINTS = (
    *(Entry(path) for path in ("dev", "etc", "proc", "sys")),
    *(Entry(f"etc/{name}", b"", mode=0o644) for name in ("hostname", "hosts", "resolv.conf")),
)

# Waits without waking, reaps what is re-parented to it, ends on the first SIGTERM or SIGINT.
_PAUSE_SCRIPT = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait; done"

_WEB_SERVER = b'''"""Says who it is, for demonstrations: GET / answers with the pod's name and the caller."""

import http.server
import os
import socket


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{socket.gethostname()} saw {self.client_address[0]} asking for {self.path}\\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
'''


class ImageError(Exception):
    """An image cannot be made here; the message says what is missing."""


async def busybox() -> Image:
    """Debian's static busybox with a link for each of its applets."""
    return Image(catalog.BUSYBOX, await _base(), command=("sh",))


async def pause() -> Image:
    """The sandbox's image: the same static binary, waiting."""
    entries = (Entry("bin"), *_MOUNT_POINTS, Entry("bin/busybox", _busybox(), mode=0o755))
    return Image(catalog.PAUSE, entries, entrypoint=("/bin/busybox", "sh", "-c", _PAUSE_SCRIPT))


async def python() -> Image:
    """The machine's python3 (Debian's packages, whole files) and a web server on $PORT (8080)."""
    version = Path("/usr/bin/python3").resolve().name.removeprefix("python")
    packages = [f"python{version}-minimal", f"libpython{version}-minimal", f"libpython{version}-stdlib"]
    files = await _package_files(packages)
    binary = f"/usr/bin/python{version}"
    libraries = await _libraries([binary, *(path for path in files if path.endswith(".so"))])
    entries = list(await _base())
    entries += _copies([*files, *libraries])
    entries += [
        Entry("usr/bin/python3", target=f"python{version}"),
        Entry("srv"),
        Entry("srv/web.py", _WEB_SERVER, mode=0o644),
    ]
    return Image(catalog.PYTHON, tuple(_once(entries)), entrypoint=("/usr/bin/python3",), command=("/srv/web.py",))


async def _base() -> tuple[Entry, ...]:
    return (
        *_MOUNT_POINTS,
        *(Entry(path) for path in ("bin", "home", "usr", "usr/bin", "var", "www")),
        Entry("root", mode=0o700),
        Entry("tmp", mode=0o1777),
        Entry("etc/passwd", _PASSWD, mode=0o644),
        Entry("etc/group", _GROUP, mode=0o644),
        Entry("etc/nsswitch.conf", _NSSWITCH, mode=0o644),
        *await busybox_files.entries(_busybox()),
    )


def _busybox() -> bytes:
    try:
        return busybox_files.BINARY.read_bytes()
    except OSError as error:
        raise ImageError("busybox is missing: apt-get install busybox-static") from error


async def _package_files(packages: list[str]) -> list[str]:
    try:
        result = await command.run(["dpkg", "-L", *packages], timeout=DEADLINE)
    except command.CommandError as error:
        raise ImageError(f"the python image is made from Debian's packages {', '.join(packages)}") from error
    unwanted = ("/usr/share/", "/lib2to3/", "/__pycache__/", "/distutils/", "/ensurepip/")
    paths = (line for line in result.stdout.decode().splitlines() if line.startswith("/usr/"))
    return [path for path in paths if not any(part in path for part in unwanted) and Path(path).is_file()]


async def _libraries(binaries: list[str]) -> list[str]:
    """The shared libraries (and the loader) that these binaries need, as the dynamic linker finds them."""
    result = await command.run(["ldd", *binaries], timeout=DEADLINE, check=False)
    found: set[str] = set()
    for line in result.stdout.decode().splitlines():
        found.update(word for word in line.split() if word.startswith("/") and not word.endswith(":"))
    return sorted(path for path in found if Path(path).exists())


def _copies(paths: Iterable[str]) -> list[Entry]:
    entries: list[Entry] = []
    for path in paths:
        for parent in reversed(Path(path).parents[:-1]):
            entries.append(Entry(str(parent).lstrip("/")))
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        entries.append(Entry(path.lstrip("/"), Path(path).read_bytes(), mode=mode))
    return entries


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """The first entry for each path."""
    return list({entry.path: entry for entry in reversed(list(entries))}.values())[::-1]
