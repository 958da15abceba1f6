"""One place of a structural schema, compiled once: what pruning, defaulting and checking ask of it. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.structural.once import Once
from controlplane.apiserver.structural.reading import (
    EMBEDDED,
    LIST_TYPE,
    MAP_KEYS,
    MAP_TYPE,
    PRESERVES,
    VALIDATIONS,
    one,
)

# What every object has, whether its schema speaks of it or not.
META = frozenset(("apiVersion", "kind", "metadata"))


class Structural:
    """The schema of one place.

    raw: as the definition has it. items: of a list. more: of what a map holds; extensible: whether there may be keys
    without a property (`additionalProperties` is there, a schema or not). embedded: what lies here is an object of the
    API. default: None where there is none.
    """

    def __init__(self, raw: Obj) -> None:
        self.raw = raw
        self.type: str = raw.get("type") or ""
        self.properties = {name: Structural(part) for name, part in (raw.get("properties") or {}).items()}
        self.items = _compiled(raw.get("items"))
        self.more = _compiled(raw.get("additionalProperties"))
        self.extensible = raw.get("additionalProperties") is not None
        self.preserves = bool(raw.get(PRESERVES))
        self.embedded = bool(raw.get(EMBEDDED))
        self.nullable = bool(raw.get("nullable"))
        self.default: Any = raw.get("default")
        self.list_type: str = raw.get(LIST_TYPE) or ""
        self.map_type: str = raw.get(MAP_TYPE) or ""
        self.map_keys: tuple[str, ...] = tuple(raw.get(MAP_KEYS) or ())

    def below(self, name: str) -> Structural | None:
        """The schema of a member; None where nothing is said of it."""
        return self.properties.get(name) or self.more

    def parts(self) -> list[Structural]:
        """The schemas of what lies directly in it."""
        return [*self.properties.values(), *(part for part in (self.items, self.more) if part is not None)]

    @Once
    def defaults(self) -> dict[str, Any]:
        """The defaults of its members."""
        return {name: part.default for name, part in self.properties.items() if part.default is not None}

    @Once
    def fills(self) -> bool:
        """Whether there is a default in it or anywhere below."""
        return self.default is not None or any(part.fills for part in self.parts())

    @Once
    def speaks(self) -> bool:
        """Whether there is an expression in it or anywhere below."""
        return bool(self.raw.get(VALIDATIONS)) or any(part.speaks for part in self.parts())

    @Once
    def embeds(self) -> bool:
        """Whether there is an object of the API in it or anywhere below."""
        return self.embedded or any(part.embeds for part in self.parts())

    @Once
    def keyed(self) -> bool:
        """Whether there is a list in it or anywhere below whose items differ."""
        return self.list_type in ("map", "set") or any(part.keyed for part in self.parts())


def _compiled(raw: Any) -> Structural | None:
    given = one(raw)
    return None if given is None else Structural(given)
