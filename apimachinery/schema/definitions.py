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

    def definition_name(self, api_version: str, kind: str) -> str | None:
        """The definition of a kind: ("apps/v1", "Deployment") -> "io.k8s.api.apps.v1.Deployment"."""
        return self._names.get((api_version, kind))

    def node(self, api_version: str, kind: str) -> Node | None:
        """The type of a kind's objects, or None for what is no built-in kind."""
        name = self.definition_name(api_version, kind)
        return None if name is None else self.type(name)

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
