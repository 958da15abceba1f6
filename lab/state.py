"""Which labs there are, and the lock that one command at a time holds on each."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from apimachinery.kit.files import write_atomic
from lab import cgroups, names
from lab import paths as places
from lab.paths import Paths
from lab.spec import Spec, SpecError, from_dict, to_dict


def load(paths: Paths) -> Spec | None:
    """The lab as it was last written; None when nothing is written. SpecError when both copies are damaged."""
    problems: list[str] = []
    for path in (paths.spec, paths.spec_copy):
        try:
            found = from_dict(json.loads(path.read_bytes()))
            if found.name == paths.lab:
                return found
            problems.append(f"{path} is damaged (it describes lab {found.name!r})")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, RecursionError, SpecError) as error:
            problems.append(f"{path} is damaged ({error})")
    if problems:
        raise SpecError(f"{'; '.join(problems)}; `wherry down --name {paths.lab}` clears the lab away")
    return None


def save(paths: Paths, spec: Spec) -> None:
    """Remember the lab."""
    text = json.dumps(to_dict(spec), indent=1).encode()
    for directory, mode in ((paths.state, 0o755), (paths.run, 0o711)):
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    write_atomic(paths.spec_copy, text, 0o644)
    write_atomic(paths.spec, text, 0o644)


def labs() -> list[str]:
    """The names of the labs on this machine: those described somewhere, and those whose processes run."""
    described = {path.parent.name for top in (places.STATE, places.RUN) for path in top.glob("*/lab.json")}
    running = {names.lab_of_cgroup(name) for name in cgroups.matching("wherry-.*")}
    return sorted(name for name in described | running if not names.problem(name))


def others(paths: Paths) -> list[Spec]:
    """The other labs on this machine, as far as they are described."""
    found = []
    for name in labs():
        with contextlib.suppress(SpecError):
            spec = load(Paths(name)) if name != paths.lab else None
            found += [spec] if spec else []
    return found


@contextmanager
def choosing() -> Iterator[None]:
    """Hold the machine's lock, so that two new labs never choose the same ranges."""
    descriptor = os.open(places.RUN.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Hold the lab's lock; a second command waits, and says for whom. The file goes with the lab."""
    descriptor = _open_locked(paths)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        if not paths.state.exists():
            paths.lock.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                places.RUN.rmdir()
        os.close(descriptor)


def _open_locked(paths: Paths) -> int:
    """A descriptor of the lock file, locked, and still the file of that name: its last holder may delete it."""
    while True:
        try:
            places.RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (FileExistsError, FileNotFoundError):
            # The last holder removes the directory too, perhaps between any two of these calls.
            if places.RUN.exists() and not places.RUN.is_dir():
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            print(f"lab {paths.lab}: another command is at work (pid {holder}); waiting for it", file=sys.stderr)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == paths.lock.stat().st_ino:
                return descriptor
        os.close(descriptor)
