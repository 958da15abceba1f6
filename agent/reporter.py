"""Events about pods, their containers and the node, with upstream's reasons."""

from __future__ import annotations

import logging
from typing import Protocol

from agent import podspec
from apimachinery.objects import Obj, reference

log = logging.getLogger(__name__)


class Recorder(Protocol):
    def event(self, obj: Obj, type: str, reason: str, message: str) -> None: ...


class Reporter:
    """`recorder` None: events are only logged."""

    def __init__(self, recorder: Recorder | None, node_name: str = "") -> None:
        self._recorder = recorder
        self._node_name = node_name

    def node(self, kind: str, reason: str, message: str) -> None:
        """`kind`: Normal | Warning. Node events carry the name as uid: `kubectl describe node` looks for that."""
        name = self._node_name
        self._tell({"kind": "Node", "name": name, "uid": name, "apiVersion": "v1"}, kind, reason, message)

    def pod(self, pod: Obj, kind: str, reason: str, message: str) -> None:
        """`kind`: Normal | Warning."""
        self._send(pod, kind, reason, message, "")

    def container(self, pod: Obj, container: Obj, kind: str, reason: str, message: str) -> None:
        """A container without a name stands for the pod."""
        field = "containers"
        if podspec.is_init(pod, container["name"]):
            field = "initContainers"
        elif any(c["name"] == container["name"] for c in podspec.ephemeral_containers(pod)):
            field = "ephemeralContainers"
        name = container["name"]
        self._send(pod, kind, reason, message, f"spec.{field}{{{name}}}" if name else "")

    def _send(self, pod: Obj, kind: str, reason: str, message: str, field_path: str) -> None:
        # A reference, not the object: only it can name the part of the pod that is meant.
        subject = reference({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]})
        if field_path:
            subject["fieldPath"] = field_path
        self._tell(subject, kind, reason, message)

    def _tell(self, subject: Obj, kind: str, reason: str, message: str) -> None:
        level = logging.INFO if kind == "Normal" else logging.WARNING
        where = "/".join(filter(None, (subject.get("namespace"), subject.get("name"))))
        log.log(level, "%s: %s: %s", where, reason, message)
        if self._recorder is not None:
            self._recorder.event(subject, kind, reason, message)
