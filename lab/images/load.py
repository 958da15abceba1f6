"""Built archives in the cache, and loading an archive into a node's containerd."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from apimachinery.kit import command
from apimachinery.kit.files import write_atomic
from lab import paths
from lab.images import busybox, catalog, oci, rootfs

IMPORT_DEADLINE = 300.0
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"\xfd7zXZ\x00": "unxz", b"BZh": "bunzip2"}
# CRI sees only images of this containerd namespace.
NAMESPACE = "k8s.io"

_BUILDERS: dict[str, Callable[[], Awaitable[oci.Image]]] = {
    catalog.PAUSE: rootfs.pause,
    catalog.BUSYBOX: rootfs.busybox,
    catalog.PYTHON: rootfs.python,
}


async def archive(names: Sequence[str]) -> Path:
    """The archive that holds these lab images, built now or found in the cache.

    The cache's key holds the source binaries' size and time and this package's code, so an upgraded busybox or a
    changed recipe gives a new archive.
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
    files = [busybox.BINARY, Path("/usr/bin/python3").resolve(), *sorted(Path(__file__).parent.glob("*.*"))]
    found = ((path, path.stat()) for path in files if path.exists())
    return [f"{path} {status.st_size} {status.st_mtime_ns}" for path, status in found]


async def load(socket: Path, tar: Path) -> list[str]:
    """Import every image of `tar` into the containerd behind `socket`; the names it now has. ImageError says what
    containerd has against it.
    """
    result = await command.run(
        ["ctr", "--address", str(socket), "--namespace", NAMESPACE, "images", "import", str(tar)],
        timeout=IMPORT_DEADLINE,
        check=False,
    )
    if result.returncode:
        told = (result.stderr.decode(errors="replace").strip() or "no reason given").splitlines()[-1]
        raise rootfs.ImageError(f"containerd does not take {tar}: {told.removeprefix('ctr: ')}")
    return imported(result.stdout.decode())


def check(path: Path) -> None:
    """ImageError for a file that cannot be an image archive, with what to do about it."""
    make = "`docker save NAME:TAG -o FILE` makes one"
    if not path.is_file():
        raise rootfs.ImageError(f"{path} is no file; give an image archive: {make}")
    with path.open("rb") as file:
        begins = file.read(6)
    for magic, tool in _COMPRESSED.items():
        if begins.startswith(magic):
            raise rootfs.ImageError(f"{path} is compressed; unpack it first: `{tool} {path}`")
    try:
        with tarfile.open(path, "r:") as archive:
            names = {member.name.removeprefix("./") for member in archive}
    except (tarfile.TarError, EOFError) as error:
        raise rootfs.ImageError(f"{path} is no image archive (a tar file): {error}; {make}") from error
    if not names & {"index.json", "manifest.json"}:
        raise rootfs.ImageError(f"{path} is a tar file without images (no index.json, no manifest.json); {make}")


def imported(printed: str) -> list[str]:
    """The images that `ctr images import` names: `unpacking NAME (DIGEST)...done`, since containerd 2 a table
    that is printed again as it grows, `NAME saved`."""
    found = []
    for words in (line.split() for line in printed.splitlines()):
        if len(words) > 1 and words[0] == "unpacking":
            found.append(words[1])
        elif len(words) == 2 and words[1] == "saved":
            found.append(words[0])
    return list(dict.fromkeys(found))


async def listed(socket: Path) -> list[tuple[str, str]]:
    """(name, size) of each image in the containerd behind `socket`."""
    result = await command.run(["ctr", "--address", str(socket), "--namespace", NAMESPACE, "images", "ls"], timeout=30)
    rows = [line.split() for line in result.stdout.decode().splitlines()[1:]]
    return [(row[0], " ".join(row[3:5])) for row in rows if len(row) > 4 and not row[0].startswith("sha256:")]


def full_name(short: str) -> str:
    """The lab image called `pause`, `busybox` or `python`."""
    return {name.partition("/")[2].partition(":")[0]: name for name in _BUILDERS}[short]
