"""What a pytest run wrote down about itself (JUnit XML), added up."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Counts:
    """Tests by outcome; `slowest` are (seconds, test), set-up and clean-up included, the slowest first."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    slowest: tuple[tuple[float, str], ...] = ()

    def __add__(self, other: Counts) -> Counts:
        slowest = sorted((*self.slowest, *other.slowest), reverse=True)[:10]
        return Counts(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped, tuple(slowest)
        )


def read(file: Path) -> Counts:
    """The counts of one run; none when it wrote nothing, or not all of it."""
    try:
        (suite,) = ElementTree.parse(file).getroot().iter("testsuite")
    except (OSError, ElementTree.ParseError, ValueError):
        return Counts()
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    cases = [(float(c.get("time", 0)), f"{c.get('classname')}::{c.get('name')}") for c in suite.iter("testcase")]
    passed = int(suite.get("tests", 0)) - failed - skipped
    return Counts(max(passed, 0), failed, skipped, tuple(sorted(cases, reverse=True)[:10]))
