"""The Accept header as values: media types with their parameters, best first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MediaType:
    type: str
    parameters: Mapping[str, str]
    quality: float = 1.0

    def covers(self, other: str) -> bool:
        """Whether this range (`application/*`, `*/*`) includes a concrete media type."""
        main, _, sub = self.type.partition("/")
        wanted, _, wanted_sub = other.partition("/")
        return main in ("*", wanted) and sub in ("*", wanted_sub)


def parse(header: str) -> list[MediaType]:
    """The clauses of an Accept header by falling quality, equal ones in their order; broken ones left out."""
    out = []
    for clause in header.split(","):
        name, *rest = (part.strip() for part in clause.split(";"))
        if "/" not in name:
            if name != "*":
                continue
            name = "*/*"
        parameters = {}
        for part in rest:
            key, _, value = part.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if quality > 0:
            out.append(MediaType(name.lower(), parameters, quality))
    return sorted(out, key=lambda m: -m.quality)
