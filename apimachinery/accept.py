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
    """The clauses of an Accept header, best first; broken ones left out.

    In the order of goautoneg, which upstream uses: by falling quality, but what is named before what is a range; a
    quality of 0 is the least, not a refusal, and one that cannot be read is 0.
    """
    out: list[MediaType] = []
    for clause in header.split(","):
        name, *rest = (part.strip(" ") for part in clause.split(";"))
        if name == "*":
            name = "*/*"
        if name.count("/") != 1:
            continue
        parameters = {}
        for part in rest:
            key, equals, value = part.partition("=")
            if equals and value and "=" not in value:
                parameters[key.strip(" ")] = value.strip(" ")
        found = MediaType(name, parameters, _quality(parameters.pop("q", "1")))
        at = len(out)
        while at and _before(found, out[at - 1]):
            at -= 1
        out.insert(at, found)
    return out


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _before(a: MediaType, b: MediaType) -> bool:
    (a_main, _, a_sub), (b_main, _, b_sub) = a.type.partition("/"), b.type.partition("/")
    return a.quality > b.quality or (a_main != "*" and b_main == "*") or (a_sub != "*" and b_sub == "*")
