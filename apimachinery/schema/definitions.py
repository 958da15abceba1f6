"""Where types come from: the published OpenAPI definitions, one file, read once."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import orjson

from apimachinery.schema.node import REF, Node
from apimachinery.schema.walker import Walker

__all__ = ["Schema", "SchemaMissing"]

DISTRIBUTION = "kubernetes_validate"


class SchemaMissing(RuntimeError):
    """The definitions are not installed, or not of the wanted version."""


class HasKind(Protocol):
    """What a row of the kinds table offers here."""

    @property
    def api_version(self) -> str: ...
    @property
    def kind(self) -> str: ...


class Schema:
    """The definitions of one Kubernetes version, and what is compiled from them so far."""

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        self.definitions = definitions
        self._nodes: dict[int, Node] = {}
        self._roots: dict[str, Node] = {}
        self._walkers: dict[str, Walker] = {}
        self._names = dict(_names(definitions))

    @staticmethod
    @lru_cache(maxsize=4)
    def load(version: str = "v1.36") -> Schema:
        """The schema of a minor version; raises SchemaMissing."""
        return Schema(orjson.loads(_file(version).read_bytes())["$defs"])

    def extended(self) -> Extended:
        """A schema that knows the same types, and to which others can be added without changing this one."""
        return Extended(self)

    def definition_name(self, api_version: str, kind: str) -> str | None:
        """The definition of a kind: ("apps/v1", "Deployment") -> "io.k8s.api.apps.v1.Deployment"."""
        return self._names.get((api_version, kind))

    def node(self, api_version: str, kind: str) -> Node | None:
        """The type of a kind's objects, or None for what is no built-in kind."""
        name = self._names.get((api_version, kind))
        return None if name is None else self._roots.get(name) or self.type(name)

    def type(self, name: str) -> Node:
        """The node of a definition by its full name; raises KeyError."""
        found = self._roots.get(name)
        if found is None:
            self.definitions[name]
            found = self._roots[name] = Node({"$ref": REF + name}, self.definitions.__getitem__, self._nodes)
        return found

    def walker(self, api_version: str, kind: str) -> Walker | None:
        """The compiled check of a kind, made on first use (about a millisecond for a Pod)."""
        name = self.definition_name(api_version, kind)
        if name is None:
            return None
        found = self._walkers.get(name)
        if found is None:
            found = self._walkers[name] = Walker(self.type(name))
        return found

    def compiled(self, kind: HasKind) -> Walker:
        """The walker of a row of the kinds table; raises KeyError for a kind without a definition."""
        found = self.walker(kind.api_version, kind.kind)
        if found is None:
            raise KeyError(f"no definition of {kind.kind} in {kind.api_version}")
        return found


class Extended(Schema):
    """A schema with types of its own beside another's, which it reads and never changes."""

    def __init__(self, base: Schema) -> None:
        super().__init__({})
        self._base = base
        self._own: dict[str, Mapping[str, Any]] = {}

    def add(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        """Know these types, too; those of the same names are replaced."""
        if definitions:
            self._own = {**self._own, **definitions}
            self._forget()

    def remove(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        """Know these no more."""
        if definitions:
            self._own = {name: raw for name, raw in self._own.items() if name not in definitions}
            self._forget()

    def _forget(self) -> None:
        # A type may hold any other, so what was compiled of the old ones is of no use.
        self.definitions = {**self._base.definitions, **self._own}
        self._nodes, self._roots, self._walkers = {}, {}, {}
        self._names = dict(_names(self._own))

    def node(self, api_version: str, kind: str) -> Node | None:
        found = super().node(api_version, kind)
        return found if found is not None else self._base.node(api_version, kind)

    def walker(self, api_version: str, kind: str) -> Walker | None:
        found = super().walker(api_version, kind)
        return found if found is not None else self._base.walker(api_version, kind)


def _names(definitions: Mapping[str, Mapping[str, Any]]) -> list[tuple[tuple[str, str], str]]:
    found = []
    for name, raw in definitions.items():
        for entry in raw.get("x-kubernetes-group-version-kind") or ():
            group, version, kind = entry["group"], entry["version"], entry["kind"]
            found.append(((f"{group}/{version}" if group else version, kind), name))
    return found


def _file(version: str) -> Path:
    spec = importlib.util.find_spec(DISTRIBUTION)
    if spec is None or not spec.submodule_search_locations:
        raise SchemaMissing("the kubernetes-validate distribution is not installed; install the project's requirements")
    root = Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema"
    # Both flavours hold the same types; the strict one says of every struct that it is closed.
    found = sorted(root.glob(f"{version}.*-local-strict/_definitions.json"))
    if not found:
        raise SchemaMissing(f"kubernetes-validate has no definitions of {version}")
    return found[-1]
