"""Files that are whole or absent: write beside, flush to disk, rename. And trees that are taken away."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data` so that a reader, or a crash at any instant, sees the old file or the new.

    The directory must exist. Raises OSError as the file system gives it (no space, read-only, …); then the old content
    is untouched and nothing is left beside it.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """A rename is durable only once its directory is (fsync(2))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(directory: Path) -> None:
    """Delete a directory and all below it, however deep whoever filled it went; no link is followed. Raises OSError.

    `shutil.rmtree` calls itself and opens a descriptor for every level: of a thousand it dies.
    """
    at = _opened(str(directory), None)
    try:
        # Each directory on the way down: its name, its inode and what is in it yet.
        way = [("", os.fstat(at).st_ino, _without_files(at))]
        while way:
            name, _, inner = way[-1]
            if inner:
                at = _moved(at, inner[-1])
                way.append((inner.pop(), os.fstat(at).st_ino, _without_files(at)))
                continue
            way.pop()
            if way:
                at = _moved(at, "..")
                if os.fstat(at).st_ino != way[-1][1]:
                    raise OSError(errno.ESTALE, "somebody moves directories in it", str(directory))
                os.rmdir(name, dir_fd=at)
    finally:
        os.close(at)
    directory.rmdir()


def _moved(at: int, name: str) -> int:
    """The directory of that name, instead of the one that it is in."""
    found = _opened(name, at)
    os.close(at)
    return found


def _opened(name: str, parent: int | None) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _without_files(descriptor: int) -> list[str]:
    """Delete what is no directory; the names of those that are."""
    found = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=descriptor)
    return found
