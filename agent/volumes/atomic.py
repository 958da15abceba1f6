"""Files replaced all at once: readers see the old set or the new one, never a mixture.

    volume/key -> ..data/key          user visible, stays while the key does
    volume/..data -> ..2026_01_02_03_04_05.123456789      swapped by one rename(2)
    volume/..2026_01_02_03_04_05.123456789/key            a fresh directory for every change

Programs watch ..data for the swap, so the layout is a contract.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from agent.volumes.payload import FileEntry, Payload

_DATA = "..data"
_NEW_DATA = "..data_tmp"
_DIRECTORY_MODE = 0o755


def write(volume: Path, payload: Payload, own: Callable[[Path], None] | None = None) -> bool:
    """Make `volume` show exactly `payload`.

    Whether anything changed. `own` sets owners before anyone can look.
    """
    current = _current(volume)
    if current is not None and _holds(current, payload):
        _link(volume, payload)
        return False
    fresh = _new_directory(volume)
    for name, entry in payload.items():
        _write_file(fresh / name, entry, fresh)
    if own is not None:
        own(fresh)
    switch = volume / _NEW_DATA
    switch.unlink(missing_ok=True)
    switch.symlink_to(fresh.name)
    switch.rename(volume / _DATA)
    _link(volume, payload)
    _sweep(volume, payload, keep=fresh.name)
    return True


def _current(volume: Path) -> Path | None:
    try:
        return volume / (volume / _DATA).readlink()
    except OSError:
        return None


def _holds(directory: Path, payload: Payload) -> bool:
    found = {str(Path(root, name).relative_to(directory)) for root, _, names in os.walk(directory) for name in names}
    if found != set(payload):
        return False
    return all((directory / name).read_bytes() == entry.data for name, entry in payload.items())


def _new_directory(volume: Path) -> Path:
    now = time.time_ns()
    while True:
        stamp = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(now // 1_000_000_000))
        path = volume / f"{stamp}.{now % 1_000_000_000:09d}"
        try:
            path.mkdir()
        except FileExistsError:
            # A clock that stands, or was put back: the next nanosecond's name is as good.
            now += 1
            continue
        path.chmod(_DIRECTORY_MODE)
        return path


def _write_file(path: Path, entry: FileEntry, top: Path) -> None:
    parent = path.parent
    parent.mkdir(parents=True, exist_ok=True)
    while parent != top:
        parent.chmod(_DIRECTORY_MODE)
        parent = parent.parent
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(entry.data)
        if entry.uid is not None:
            os.fchown(file.fileno(), entry.uid, -1)
        # Not the mode given to open(2): the umask would take bits off.
        os.fchmod(file.fileno(), entry.mode)


def _link(volume: Path, payload: Payload) -> None:
    for first in {name.split("/", 1)[0] for name in payload}:
        link = volume / first
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{first}")


def _sweep(volume: Path, payload: Payload, keep: str) -> None:
    wanted = {name.split("/", 1)[0] for name in payload}
    for entry in os.scandir(volume):
        if entry.name in (_DATA, keep):
            continue
        if entry.name.startswith(".."):
            _remove(Path(entry.path))
        elif entry.is_symlink() and entry.name not in wanted and _ours(Path(entry.path)):
            Path(entry.path).unlink(missing_ok=True)


def _ours(link: Path) -> bool:
    return str(link.readlink()).startswith(_DATA + "/")


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
