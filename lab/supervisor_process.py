"""The supervisor's process: `python -m lab.supervisor_process LAB`. Plain asyncio, few imports: it is always
there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from contextlib import suppress

from apimachinery.kit import logs
from lab import cgroups, names, privileges
from lab.forks import Forks
from lab.paths import Paths
from lab.supervisor import Machine, Supervisor

log = logging.getLogger(__name__)
# More than any daemon needs; a lower hard limit is raised to it where that is allowed.
FILES = 1 << 20


async def main(lab: str) -> None:
    """Take over, listen, until told to quit. SIGTERM ends it too and leaves the processes running."""
    paths = Paths(lab)
    machine = Machine(await privileges.can_drop(), privileges.to_read_the_program())
    if not machine.drops:
        log.warning("setpriv does not work here: daemons keep all capabilities")
    forks = Forks(lab, paths.logs / "supervisor.log")
    await forks.take_over()
    forks.open()
    supervisor = Supervisor(paths, machine, forks)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, supervisor.quit.set)
    loop.add_signal_handler(signal.SIGINT, supervisor.quit.set)
    supervisor.resume()
    paths.supervisor_socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(supervisor.serve, paths.supervisor_socket, limit=1 << 20)
    paths.supervisor_socket.chmod(0o600)
    trimming = asyncio.ensure_future(supervisor.trim_logs())
    await supervisor.quit.wait()
    trimming.cancel()
    server.close()
    forks.close()
    paths.supervisor_socket.unlink(missing_ok=True)


def settle(lab: str) -> None:
    """Leave behind what the person's shell had, for this process and all that it starts: umask, limit of open
    files, cgroup (a session that ends would take its processes along). Signals and directory were when it was started.
    """
    os.umask(0o022)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, FILES), hard):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
    privileges.lower_oom_score(os.getpid(), privileges.OOM_SCORES["agent"])
    try:
        cgroups.join(names.daemons(lab))
    except OSError as error:
        log.warning("no cgroup of the lab's own (%s): what daemons leave is found by its arguments", error)


if __name__ == "__main__":
    logs.setup("supervisor")
    settle(sys.argv[1])
    asyncio.run(main(sys.argv[1]))
