"""The process that a lab's own daemons are forked from: `python -m lab.forkserver LAB`, started by its supervisor.

A daemon of ours would spend most of its start in imports, nine tenths of them the same in all of them, and a lab of
three nodes has eleven. Here each module is imported once, and a daemon is a fork, which shares its pages. The fork
becomes what an executed program would be: session, output, namespaces, capabilities and arguments of its own (so `ps`
and `processes` see `python -m MODULE --config FILE`), and runs the module as `python -m` does.

One thread, no event loop, nothing open but the socket to the supervisor at descriptor 0: a fork copies nothing that
somebody else holds. It ends when the supervisor does; daemons go on. Packets, one JSON object each::

    {"argv": [...], "log": "...", "namespace": "", "mounts": "", "uts": "",
     "capabilities": ["all"]}                              -> {"pid": 12}
    {"reap": 12}                                          -> {"status": 9}, as waitpid(2) gives it
    what cannot be done                                   -> {"error": "..."}

What a fork does wrong after that is told by its log and its exit status, as with a program.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import socket
import sys
import sysconfig
from pathlib import Path
from typing import Any

from apimachinery.kit import capabilities, nsfile
from lab.privileges import EVERYTHING

# Imported while nobody asks, the one first that is wanted first.
MODULES = (
    "controlplane.apiserver",
    "lab.nodeagent",
    "netproxy",
    "controlplane.scheduler",
    "controlplane.controllers",
    "lab.hostnet",
    "lab.cloud",
)
PACKET = 1 << 16
SOURCE = Path(__file__).resolve().parent.parent
Request = dict[str, Any]


def serve(link: socket.socket) -> Request | None:
    """Answer until the supervisor is gone (None). In a fork: return what it is to become."""
    ahead, sources = list(MODULES), Sources()
    while True:
        while ahead and not select.select([link], [], [], 0)[0]:
            # What cannot be imported is told to whoever asks for it.
            with contextlib.suppress(ImportError):
                entrance(ahead.pop(0))
            sources.note()
        packet = link.recv(PACKET)
        if not packet:
            return None
        request: Request = json.loads(packet)
        try:
            answer = {"status": os.waitpid(request["reap"], 0)[1]} if "reap" in request else _fork(request, sources)
        except (ImportError, OSError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        if answer is None:
            return request
        link.send(json.dumps(answer).encode())
        if sources.changed():
            # Children stay children: it is the same process.
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _fork(request: Request, sources: Sources) -> dict[str, Any] | None:
    """The answer; None in the fork."""
    entrance(request["argv"][2])
    sources.note()
    if sources.changed():
        raise ImportError("the program has changed since it was read")
    if len(_joined(request["argv"])) > _room()[1]:
        raise ValueError("the arguments are longer than what there is room for")
    # What is there by now lives as long as the fork: its collector need not look at it, which would copy the pages.
    gc.freeze()
    pid = os.fork()
    return {"pid": pid} if pid else None


def entrance(module: str) -> str:
    """The module that `python -m` would run, imported with all that it needs. ImportError, whatever went wrong."""
    try:
        found = importlib.util.find_spec(module)
        if found is None:
            raise ImportError(f"no module {module}")
        name = f"{module}.__main__" if found.submodule_search_locations is not None else module
        importlib.import_module(name)
    except Exception as error:
        raise ImportError(f"{module}: {type(error).__name__}: {error}") from error
    return name


class Sources:
    """Whether the program is still what was imported: a newer one is not to run on the modules of an older."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        # Installing or removing a package changes the directory of packages.
        self._files = {sysconfig.get_path("purelib")}
        self.note()

    def note(self) -> None:
        """Remember what has been imported since."""
        ours = f"{SOURCE}{os.sep}"
        files = (getattr(module, "__file__", None) or "" for module in tuple(sys.modules.values()))
        for file in {file for file in files if file.startswith(ours)} | self._files:
            if file not in self._times:
                self._times[file] = _changed_at(file)

    def changed(self) -> bool:
        """Whether a file is another than it was."""
        return any(_changed_at(file) != then for file, then in self._times.items())


def _changed_at(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116  (hundreds of them)
    except OSError:
        return 0


def become(request: Request) -> None:
    """Make the fork what a program would be that was started so."""
    # At once: until then it looks like the fork server.
    show(request["argv"])
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    # Mounts last: the files of the others may lie where nothing leads to from inside.
    for wanted, kind in (("namespace", nsfile.NET), ("uts", nsfile.UTS), ("mounts", nsfile.MOUNTS)):
        if request[wanted]:
            nsfile.enter(Path(request[wanted]), kind)
    if tuple(request["capabilities"]) != EVERYTHING:
        capabilities.keep_only(request["capabilities"])


def show(argv: list[str]) -> None:
    """Have /proc tell these arguments of this process: they are written over those that it was started with.

    What is left of the old ones becomes zeros; proc(5) has the place of the arguments in the process's memory.
    """
    start, room = _room()
    # In one go: whoever looks while there are none takes it for nobody's.
    ctypes.memmove(start, _joined(argv).ljust(room, b"\0"), room)


def _joined(argv: list[str]) -> bytes:
    return b"".join(os.fsencode(argument) + b"\0" for argument in argv)


def _room() -> tuple[int, int]:
    """Where the arguments of this process lie, and how many bytes they have."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    return start, end - start


def main() -> None:
    """Serve; in a fork run what was asked for, as `python -m` does."""
    # What is imported stays for good.
    gc.disable()
    link = socket.socket(fileno=0)
    request = serve(link)
    link.detach()
    if request is None:
        return
    gc.enable()
    become(request)
    module, *arguments = request["argv"][2:]
    sys.argv = [module, *arguments]
    # Imported under its name, it is run once more under the name of a program.
    sys.modules.pop(entrance(module), None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
