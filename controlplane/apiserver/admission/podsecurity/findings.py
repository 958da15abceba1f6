"""The words of a violation, and how checks read a pod."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from apimachinery.errors import quoted
from apimachinery.objects import Obj


class Finding(NamedTuple):
    """Why a pod is refused: the reason alone speaks of many pods, the detail of this one."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


# (metadata, spec) of a pod or of a template -> what is wrong with it.
Check = Callable[[Obj, Obj], "Finding | None"]


def containers(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def security(holder: Obj) -> Obj:
    """The security context of a PodSpec or a container, empty for none."""
    found: Obj | None = holder.get("securityContext")
    return found or {}


def names(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def several(word: str, count: int) -> str:
    return word if count == 1 else word + "s"


def named(word: str, values: list[str]) -> str:
    """container "a", or containers "a", "b"."""
    return f"{several(word, len(values))} {names(values)}"


def setters(pod: bool, bad: list[str]) -> str:
    """Who set something: pod and container "a"."""
    return " and ".join([*(["pod"] if pod else []), *([named("container", bad)] if bad else [])])


def those(spec: Obj, wrong: Callable[[Obj], Any]) -> list[str]:
    """The names of the containers whose security context is wrong."""
    return [container["name"] for container in containers(spec) if wrong(security(container))]


def pair(key: str, value: str) -> str:
    return f"{key}={quoted(value)}"


def on_windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def in_user_namespace(spec: Obj) -> bool:
    return spec.get("hostUsers") is False
