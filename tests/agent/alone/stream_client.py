"""A client of the agent's API, run inside the node's network namespace: prints what it saw as JSON.

`python -m tests.agent.alone.stream_client DIRECTORY exec PATH [STDIN]` or `… get PATH`; DIRECTORY holds ca.crt and
client.pem.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp

BASE = "https://127.0.0.1:10250"
SECONDS = 60.0


async def get(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """Status and body."""
    async with session.get(BASE + path) as answer:
        return {"status": answer.status, "body": await answer.text()}


async def execute(session: aiohttp.ClientSession, path: str, stdin: str | None) -> dict[str, Any]:
    """What came on each channel; the error channel's JSON taken apart."""
    out: dict[int, bytes] = {}
    async with session.ws_connect(BASE + path, protocols=("v5.channel.k8s.io",)) as socket:
        if stdin is not None:
            await socket.send_bytes(b"\x00" + stdin.encode())
            await socket.send_bytes(b"\xff\x00")
        async for message in socket:
            out[message.data[0]] = out.get(message.data[0], b"") + message.data[1:]
    names = {1: "stdout", 2: "stderr"}
    result: dict[str, Any] = {names[c]: data.decode() for c, data in out.items() if c in names}
    result["error"] = json.loads(out.get(3, b"{}"))
    return result


async def main(directory: Path, verb: str, path: str, stdin: str | None = None) -> None:
    """One request."""
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.load_cert_chain(directory / "client.pem")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        doing = get(session, path) if verb == "get" else execute(session, path, stdin)
        print(json.dumps(await asyncio.wait_for(doing, SECONDS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
