"""A start that is measured ends with the server, and at its deadline."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import pytest

from benchmarks import api, start

TARGET = api.Target(1, ssl.create_default_context())


def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    """Measure a server that is this program."""
    server = tmp_path / "server"
    server.write_text(f"#!/bin/sh\n{program}\n")
    server.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(server))
    asyncio.run(start.started(tmp_path, TARGET))


def test_a_server_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def refused(_: api.Target) -> api.Connection:
        raise ConnectionRefusedError

    monkeypatch.setattr(api.Connection, "open", refused)
    with pytest.raises(SystemExit, match="has ended with status 3"):
        begun(monkeypatch, tmp_path, "exit 3")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def silent(_: api.Target) -> api.Connection:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(api.Connection, "open", silent)
    monkeypatch.setattr(start, "_DEADLINE", 0.1)
    with pytest.raises(SystemExit, match="was not ready"):
        begun(monkeypatch, tmp_path, "exec sleep 600")
