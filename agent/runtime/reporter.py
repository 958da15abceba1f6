"""Events about pods and their containers, with upstream's reasons."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from agent import podspec
from agent.podspec import Obj

log = logging.getLogger(__name__)


class Recorder(Protocol):
    def event(self, obj: Obj, type: str, reason: str, message: str) -> None: ...


class Reporter:
    """``recorder`` None: events are only logged."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder

    def pod(self, pod: Obj, kind: str, reason: str, message: str) -> None:
        """``kind``: Normal | Warning."""
        self._send(pod, kind, reason, message, "")

    def container(self, pod: Obj, container: Obj, kind: str, reason: str, message: str) -> None:
        field = "containers"
        if podspec.is_init(pod, container["name"]):
            field = "initContainers"
        elif any(c["name"] == container["name"] for c in podspec.ephemeral_containers(pod)):
            field = "ephemeralContainers"
        self._send(pod, kind, reason, message, f"spec.{field}{{{container['name']}}}")

    def _send(self, pod: Obj, kind: str, reason: str, message: str, field_path: str) -> None:
        level = logging.INFO if kind == "Normal" else logging.WARNING
        log.log(level, "%s/%s: %s: %s", podspec.namespace(pod), podspec.name(pod), reason, message)
        if self._recorder is None:
            return
        subject: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}
        if field_path:
            subject["fieldPath"] = field_path
        self._recorder.event(subject, kind, reason, message)
