"""What a load takes of the server's processor is told for each call."""

from __future__ import annotations

import asyncio
import os
import ssl
import time

import pytest

from benchmarks import api

_BUSY = 0.002


def test_processor_time_is_told_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        async def call(self, request: bytes) -> tuple[int, bytes]:
            end = time.process_time() + _BUSY
            while time.process_time() < end:
                pass
            await asyncio.sleep(0)
            return 200, request

        def close(self) -> None:
            pass

    async def busy(_: api.Target) -> Busy:
        return Busy()

    monkeypatch.setattr(api.Connection, "open", busy)
    target = api.Target(1, ssl.create_default_context(), os.getpid())
    outcome = asyncio.run(api.load(target, 4, 0.02, lambda *_: b""))
    assert _BUSY <= outcome.processor < 2 * _BUSY
