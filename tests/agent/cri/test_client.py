"""What the runtime is asked, and with what patience."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from agent.cri.client import CriClient
from agent.cri.messages import pb


def test_a_checkpoint_has_no_less_time_than_any_call(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    async def checkpoint(request: bytes, context: Any) -> bytes:
        left = context.time_remaining()
        asked.append((pb.CheckpointContainerRequest.FromString(request).timeout, round(left, -1)))
        return b""

    async def main() -> None:
        server = grpc.aio.server()
        handlers = {"CheckpointContainer": grpc.unary_unary_rpc_method_handler(checkpoint)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", handlers),))
        server.add_insecure_port(f"unix://{tmp_path / 'cri'}")
        await server.start()
        client = CriClient(tmp_path / "cri", 120.0)
        for seconds in (0, 3, 300):
            await client.checkpoint("c", tmp_path / "c.tar", seconds)
        await client.channel.close()
        await server.stop(None)

    asyncio.run(main())
    assert asked == [(120, 120), (120, 120), (300, 300)]
