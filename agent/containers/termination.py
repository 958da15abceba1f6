"""What a container left behind as its termination message.

Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/ .
"""

from __future__ import annotations

from pathlib import Path

import orjson

from agent.cri import names
from agent.cri.model import Container, State

MAX_BYTES = 4096
MAX_LOG_BYTES, MAX_LOG_LINES = 2048, 80


def termination_message(run: Container) -> str:
    """The message file's content, or the log's tail where the policy allows it; empty where there is none."""
    if run.state is not State.EXITED:
        return ""
    text = _file(run.termination_host_path)
    policy = run.annotations.get(names.CONTAINER_TERMINATION_POLICY, "File")
    if not text and policy == "FallbackToLogsOnError" and run.exit_code:
        text = _log_tail(run.log_path)
    return text


def remove_files(run: Container) -> None:
    """Take away log and last words of a container that is removed."""
    for path in (run.termination_host_path, run.log_path):
        if path:
            Path(path).unlink(missing_ok=True)


def _file(path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _log_tail(path: str) -> str:
    """The last lines of a CRI log, without their time, stream and tag."""
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 4 * MAX_LOG_BYTES))
            raw = file.read()
    except OSError:
        return ""
    lines = []
    for line in raw.splitlines()[-MAX_LOG_LINES:]:
        parts = line.split(b" ", 3)
        if len(parts) == 4:
            lines.append(parts[3] + (b"" if parts[2] == b"P" else b"\n"))
        elif line.startswith(b"{"):
            lines.append(_docker_line(line))
    return b"".join(lines)[-MAX_LOG_BYTES:].decode("utf-8", "replace")


def _docker_line(line: bytes) -> bytes:
    try:
        return str(orjson.loads(line).get("log", "")).encode()
    except (orjson.JSONDecodeError, AttributeError):
        return b""
