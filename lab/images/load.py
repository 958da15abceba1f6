"""Built archives in the cache, and loading an archive into a node's containerd."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from apimachinery.kit import command
from apimachinery.kit.files import write_atomic
from lab import paths
from lab.images import catalog, oci, rootfs

IMPORT_DEADLINE = 300.0
# CRI sees only images of this containerd namespace.
NAMESPACE = "k8s.io"

_BUILDERS: dict[str, Callable[[], Awaitable[oci.Image]]] = {
    catalog.PAUSE: rootfs.pause,
    catalog.BUSYBOX: rootfs.busybox,
    catalog.PYTHON: rootfs.python,
}


async def archive(names: Sequence[str]) -> Path:
    """The archive that holds these lab images, built now or found in the cache.

    The cache's key holds the source binaries' size and time and this package's code, so an upgraded busybox
    or a changed recipe gives a new archive.
    """
    key = hashlib.sha256("\n".join([*names, *_sources()]).encode()).hexdigest()[:16]
    target = paths.CACHE / "images" / f"{key}.tar"
    if target.exists():
        return target
    images = [await _BUILDERS[name]() for name in names]
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomic(target, oci.archive(images), 0o644)
    return target


def _sources() -> list[str]:
    files = [rootfs.BUSYBOX, Path("/usr/bin/python3").resolve(), *sorted(Path(__file__).parent.glob("*.py"))]
    found = ((path, path.stat()) for path in files if path.exists())
    return [f"{path} {status.st_size} {status.st_mtime_ns}" for path, status in found]


async def load(socket: Path, tar: Path) -> list[str]:
    """Import every image of ``tar`` into the containerd behind ``socket``; the names it now has."""
    result = await command.run(
        ["ctr", "--address", str(socket), "--namespace", NAMESPACE, "images", "import", str(tar)],
        timeout=IMPORT_DEADLINE,
    )
    return imported(result.stdout.decode())


def imported(printed: str) -> list[str]:
    """The images that ``ctr images import`` names: ``unpacking NAME (DIGEST)...done``, since containerd 2 a table
    that is printed again as it grows, ``NAME saved``."""
    found = []
    for words in (line.split() for line in printed.splitlines()):
        if len(words) > 1 and words[0] == "unpacking":
            found.append(words[1])
        elif len(words) == 2 and words[1] == "saved":
            found.append(words[0])
    return list(dict.fromkeys(found))


async def listed(socket: Path) -> list[tuple[str, str]]:
    """(name, size) of each image in the containerd behind ``socket``."""
    result = await command.run(["ctr", "--address", str(socket), "--namespace", NAMESPACE, "images", "ls"], timeout=30)
    rows = [line.split() for line in result.stdout.decode().splitlines()[1:]]
    return [(row[0], " ".join(row[3:5])) for row in rows if len(row) > 4 and not row[0].startswith("sha256:")]


def full_name(short: str) -> str:
    """The lab image called ``pause``, ``busybox`` or ``python``."""
    return {name.partition("/")[2].partition(":")[0]: name for name in _BUILDERS}[short]
