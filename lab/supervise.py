"""The supervisor's process: ``python -m lab.supervise LAB``. Plain asyncio, few imports: it is always there."""

from __future__ import annotations

import asyncio
import signal
import sys

from apimachinery.kit import logs
from lab.paths import Paths
from lab.supervisor import Supervisor


async def main(lab: str) -> None:
    """Take over, listen, until told to quit. SIGTERM ends it too and leaves the processes running."""
    paths = Paths(lab)
    supervisor = Supervisor(paths.supervisor_state)
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
    paths.supervisor_socket.unlink(missing_ok=True)


if __name__ == "__main__":
    logs.setup("supervisor")
    asyncio.run(main(sys.argv[1]))
