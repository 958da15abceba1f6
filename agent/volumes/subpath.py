"""subPath: a part of a volume bind-mounted for one container, whatever links a container has put into the
volume.

The kernel resolves the path (openat2, RESOLVE_BENEATH) and what it opened is mounted by descriptor, so there is no
moment at which a link could be exchanged. Upstream's CVE-2017-1002101 and CVE-2021-25741 were such moments.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from agent.failures import ConfigError
from apimachinery.kit import mounts

_DIRECTORY_MODE = 0o750
_MAX_FILE = 1 << 20


class SubPathError(Exception):
    """The path leaves the volume or cannot be made."""


def bind(volume: Path, sub_path: str, target: Path) -> None:
    """Mount `sub_path` of `volume` on `target`, making directories that are missing in the volume.

    Idempotent.
    """
    root = os.open(volume, os.O_PATH | os.O_CLOEXEC)
    try:
        source = _open(root, sub_path, volume)
    finally:
        os.close(root)
    try:
        _bind(source, target)
    finally:
        os.close(source)


def read_beneath(volume: Path, path: str) -> str | None:
    """The text of a file in a volume, None where there is none. Links lead no further than the volume's own files.

    Raises ConfigError for what is no file, or too large.
    """
    try:
        root = os.open(volume, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # A pipe must not be waited for.
        descriptor = mounts.open_beneath(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f'cannot read "{path}" of volume "{volume.name}": {error.strerror}') from error
    finally:
        os.close(root)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(f'"{path}" of volume "{volume.name}" is no file')
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise ConfigError(f'"{path}" of volume "{volume.name}" has more than {_MAX_FILE} bytes')
    return data.decode("utf-8", "replace")


def _open(root: int, sub_path: str, volume: Path) -> int:
    try:
        return mounts.open_beneath(root, sub_path)
    except FileNotFoundError:
        _make(root, sub_path, volume)
        return mounts.open_beneath(root, sub_path)
    except OSError as error:
        raise _escape(error, sub_path, volume) from error


def _make(root: int, sub_path: str, volume: Path) -> None:
    """Make each missing directory in the directory the kernel opened before it."""
    mode = stat.S_IMODE(os.stat(root).st_mode) or _DIRECTORY_MODE
    parts = [part for part in sub_path.split("/") if part not in ("", ".")]
    at = os.dup(root)
    try:
        for index, part in enumerate(parts):
            below = "/".join(parts[: index + 1])
            try:
                step = mounts.open_beneath(root, below)
            except FileNotFoundError:
                os.mkdir(part, mode, dir_fd=at)
                step = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                # mkdir(2) took the umask off.
                os.fchmod(step, mode)
            os.close(at)
            at = step
    except OSError as error:
        raise _escape(error, sub_path, volume) from error
    finally:
        os.close(at)


def _escape(error: OSError, sub_path: str, volume: Path) -> SubPathError:
    if error.errno == errno.EXDEV:
        return SubPathError(f'subpath "{volume}/{sub_path}" not within volume path "{volume}"')
    return SubPathError(f'subpath "{volume}/{sub_path}": {error.strerror}')


def _bind(source: int, target: Path) -> None:
    wanted = os.fstat(source)
    if target.exists():
        held = target.stat()
        if (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino):
            return
        mounts.unmount(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(wanted.st_mode):
        if target.exists() and not target.is_dir():
            target.unlink()
        target.mkdir(exist_ok=True)
    else:
        if target.is_dir():
            target.rmdir()
        target.touch()
    mounts.bind_descriptor(source, target)
