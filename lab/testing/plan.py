"""Which pytest runs make up the tiers: whole files, dealt out so that no run is long. Pure.

A file belongs to each tier whose marker stands in it, written out (`pytest.mark.kernel`), and to the unit tier unless
such a marker stands for all of it; tests/conftest.py refuses a test whose marker comes from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TIERS = ("unit", "kernel", "node", "cluster")
EMULATED = "vm"
"""The tier of emulated machines, which is run when it is asked for. It fetches kernels and is not enclosed: what it
makes lies in machines and namespaces of its own."""
# Marker expressions.
_SELECTIONS = {
    "unit": "not kernel and not node and not cluster and not vm",
    "kernel": "kernel",
    "node": "node",
    "cluster": "cluster",
    EMULATED: EMULATED,
}
# Into how many runs a tier is dealt. Each costs what is the same in all: a lab in the cluster tier, in every other some
# seconds of imports.
_SHARES = {EMULATED: 1, "cluster": 3, "node": 2, "kernel": 6, "unit": 5}
_MARKER = re.compile(r"pytest\.mark\.(kernel|node|cluster|vm)\b")
# Every test of the file: `pytestmark = pytest.mark.X` or a list that holds it.
_WHOLE = re.compile(r"^pytestmark\b[^#\n]*?=\s*(\[[^\]]*)?pytest\.mark\.(kernel|node|cluster|vm)\b", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """A test file: its path from the checkout, its size in bytes and the tiers with tests in it."""

    path: str
    size: int
    tiers: frozenset[str]


@dataclass(frozen=True)
class Run:
    """One pytest run: its name, the tier, marker expression and files."""

    name: str
    tier: str
    selection: str
    files: tuple[str, ...]


@dataclass
class _Share:
    size: int = 0
    files: list[str] = field(default_factory=list)


def source(path: str, text: str) -> Source:
    """What a test file's text says of it."""
    tiers = {found[1] for found in _MARKER.finditer(text)}
    if not _WHOLE.search(text):
        tiers.add("unit")
    return Source(path, len(text), frozenset(tiers & set(_SELECTIONS)))


def deal(sources: Sequence[Source], tiers: Iterable[str]) -> tuple[Run, ...]:
    """The runs of the tiers, in the order in which they are best begun."""
    placed: list[tuple[float, Run]] = []
    for tier in (tier for tier in _SHARES if tier in set(tiers)):
        shares = _shares([each for each in sources if tier in each.tiers], _SHARES[tier])
        for number, share in enumerate(shares):
            name = f"{tier} {number + 1}/{len(shares)}" if len(shares) > 1 else tier
            # The tiers that wait go evenly: two labs that come up at once are slow. What computes fills the gaps.
            place = number / len(shares) if tier != "unit" else 1.0
            placed.append((place, Run(name, tier, _SELECTIONS[tier], tuple(sorted(share.files)))))
    return tuple(run for _, run in sorted(placed, key=lambda found: found[0]))


def _shares(sources: Sequence[Source], count: int) -> list[_Share]:
    """At most `count` lists of files of about the same size: the largest first, each to the smallest list so far."""
    shares = [_Share() for _ in range(min(count, len(sources)))]
    for each in sorted(sources, key=lambda found: (-found.size, found.path)):
        smallest = min(shares, key=lambda share: share.size)
        smallest.size += each.size
        smallest.files.append(each.path)
    return shares
