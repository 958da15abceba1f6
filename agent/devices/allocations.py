"""Which container of which pod has which devices of plugins, and what it gets with them: kept over a restart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agent.devices.plugin_messages import Given


@dataclass(frozen=True)
class _Part:
    ids: tuple[str, ...]
    given: Given


Containers = dict[str, dict[str, _Part]]
"""By container's name and resource."""


@dataclass
class Allocations:
    resources: set[str] = field(default_factory=set)
    """Every resource a plugin was ever there for."""
    pods: dict[str, Containers] = field(default_factory=dict)

    def give(self, uid: str, container: str, resource: str, ids: Sequence[str], given: Given) -> None:
        self.pods.setdefault(uid, {}).setdefault(container, {})[resource] = _Part(tuple(ids), given)

    def release(self, uid: str) -> bool:
        """Whether the pod had any."""
        return self.pods.pop(uid, None) is not None

    def used(self, resource: str) -> set[str]:
        """The devices of a resource that some container has."""
        parts = (c[resource] for containers in self.pods.values() for c in containers.values() if resource in c)
        return {each for part in parts for each in part.ids}

    def of(self, uid: str, container: str) -> dict[str, tuple[str, ...]]:
        """A container's devices by resource."""
        return {resource: part.ids for resource, part in self.pods.get(uid, {}).get(container, {}).items()}

    def given(self, uid: str, container: str) -> Given:
        parts = self.pods.get(uid, {}).get(container, {})
        return sum((part.given for _, part in sorted(parts.items())), Given())

    def users(self) -> set[str]:
        return set(self.pods)


class AllocationsError(Exception):
    """The file is damaged; the text says what to do."""


def load(file: Path) -> Allocations:
    """What an agent before this one gave away. Raises AllocationsError, OSError."""
    try:
        told = orjson.loads(file.read_bytes())
        pods = {
            uid: {name: {r: _part(part) for r, part in parts.items()} for name, parts in containers.items()}
            for uid, containers in told["pods"].items()
        }
        return Allocations(set(told["resources"]), pods)
    except FileNotFoundError:
        return Allocations()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AllocationsError(f"{file} is damaged: drain the node and remove it ({error})") from error


def dump(held: Allocations) -> bytes:
    """As `load` reads it."""
    told = {"resources": sorted(held.resources), "pods": dataclasses.asdict(held)["pods"]}
    return orjson.dumps(told)


def _part(told: dict[str, Any]) -> _Part:
    given = told["given"]
    pairs = {name: tuple(tuple(each) for each in given[name]) for name in ("env", "mounts", "nodes", "annotations")}
    return _Part(tuple(told["ids"]), Given(cdi=tuple(given["cdi"]), **pairs))
