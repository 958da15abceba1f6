"""Whether what answers at /healthz on a node says that it is well."""

from __future__ import annotations

import asyncio


async def is_well(address: str, port: int, seconds: float = 1.0) -> bool:
    """Whether GET /healthz there is answered with 200. Each step may take `seconds`."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), seconds)
        try:
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b" 200 " in await asyncio.wait_for(reader.readline(), seconds)
        finally:
            writer.close()
    except (OSError, asyncio.TimeoutError):
        return False
