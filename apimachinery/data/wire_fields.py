"""The fields of every API message: numbers, types, and whether zero and absent differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson

__all__ = ["Field", "declared", "message_of", "of_definition", "of_kind", "own"]

FILE = Path(__file__).with_name("kubernetes-1.36-wire.json")

# Where the short package names stand in the names of the published definitions.
PREFIXES = (
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.",
    "io.k8s.apimachinery.pkg.",
)
GROUP_PACKAGES = {"": "core", "internal.apiserver.k8s.io": "apiserverinternal"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `type` is a protobuf scalar or a message name, of the values where `is_map` (keys are
    strings)."""

    number: int
    name: str
    type: str
    is_map: bool
    repeated: bool
    pointer: bool
    inline: bool
    always: bool
    omit_zero: bool

    @property
    def is_message(self) -> bool:
        return "." in self.type


@lru_cache(maxsize=256)
def own(name: str) -> tuple[Field, ...]:
    """The fields of a message, "core.v1.Pod", in the order of their numbers, what is inlined as one. KeyError."""
    return tuple(sorted(map(_field, _lines()[name].splitlines()), key=lambda f: f.number))


@lru_cache(maxsize=1)
def _lines() -> dict[str, str]:
    # Texts, for most messages are never asked for: as fields they take five times the memory.
    raw: dict[str, list[str]] = orjson.loads(FILE.read_bytes())
    return {name: "\n".join(lines) for name, lines in raw.items()}


def _field(line: str) -> Field:
    number, name, kind, *rest = line.split(" ")
    flags = rest[0] if rest else ""
    is_map = kind.startswith("map:")
    return Field(
        number=int(number),
        name=name,
        type=kind[4:] if is_map else kind,
        is_map=is_map,
        repeated="*" in flags,
        pointer="?" in flags,
        inline="!" in flags,
        always="+" in flags,
        omit_zero="~" in flags,
    )


def of_kind(api_version: str, kind: str) -> str | None:
    """The message of a kind, "core.v1.Pod"; None for what is no built-in kind."""
    group, _, version = api_version.rpartition("/")
    package = GROUP_PACKAGES.get(group, group.partition(".")[0])
    # Options, Status and watch events are registered in every group.
    for name in (f"{package}.{version}.{kind}", f"meta.{version}.{kind}", f"meta.v1.{kind}"):
        if name in _lines():
            return name
    return None


def of_definition(name: str) -> str | None:
    """The message of a published definition, "io.k8s.api.core.v1.Pod" -> "core.v1.Pod"."""
    for prefix in PREFIXES:
        if name.startswith(prefix) and name[len(prefix) :] in _lines():
            return name[len(prefix) :]
    return None


@lru_cache(maxsize=256)
def declared(name: str) -> tuple[Field, ...]:
    """A message's fields as `message_of` gives them, in the order in which upstream declares them."""
    found: list[Field] = []
    for field in map(_field, _lines().get(name, "").splitlines()):
        found += declared(field.type) if field.inline else (field,)
    return tuple(found)


def message_of(name: str) -> tuple[Field, ...]:
    """A message's fields with those of inlined messages in their place, as its JSON has them."""
    found: list[Field] = []
    for field in own(name) if name in _lines() else ():
        if field.inline:
            found += message_of(field.type)
        else:
            found.append(field)
    return tuple(found)
