"""Regular expressions as Go's library takes them, by RE2, whose syntax that is: what is wrong with one, in Go's words.

RE2 takes time in proportion to the text, whatever the expression; Python's own can take for ever. An expression here
is somebody else's, and making it ready can take the square of its length (two seconds for 60,000 characters, in which
nothing else runs), so it may have no more than LONGEST.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

LONGEST = 10_000
"""Characters of an expression. Go has a bound of its own, by what the expression comes to."""

# Go's names of the faults that RE2 names otherwise.
_GO_SAYS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "trailing \\": "trailing backslash at end of expression",
}


class _Library:
    """RE2, which is loaded with the first expression: it takes 2 MB, and most daemons are never given one."""

    def __init__(self) -> None:
        import re2

        self._re2 = re2
        self._quiet = re2.Options()
        self._quiet.log_errors = False
        self.error: type[Exception] = re2.error
        # A byte, which RE2 knows and Go does not.
        self.any_byte = self.compile(r"^(?:[^\\]|\\[^C])*\\C")

    def compile(self, pattern: str) -> Any:
        """Raises `error`."""
        return self._re2.compile(pattern, self._quiet)


_library = cache(_Library)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any | None:
    """The expression, whose search() is for texts; None when it is none."""
    if len(pattern) > LONGEST:
        return None
    library = _library()
    try:
        return library.compile(pattern)
    except library.error:
        return None


@lru_cache(maxsize=1024)
def complaint(pattern: str) -> str:
    """What is wrong with it, "" when it is fine."""
    if len(pattern) > LONGEST:
        return f"error parsing regexp: expression too large: more than {LONGEST} characters"
    library = _library()
    if library.any_byte.search(pattern):
        return r"error parsing regexp: invalid escape sequence: `\C`"
    if compiled(pattern) is not None:
        return ""
    try:
        library.compile(pattern)
    except library.error as error:
        fault, _, where = error.args[0].decode("utf-8", "replace").partition(": ")
        if where.startswith("(?<"):
            # Go takes it for a group without a name.
            fault, where = "invalid named capture", _named(pattern[pattern.index(where) :])
        return f"error parsing regexp: {_GO_SAYS.get(fault, fault)}: `{where}`"
    return ""


def _named(group: str) -> str:
    """A group's opening up to the end of what stands for its name, the rest where that has none."""
    name, end, _ = group.partition(">")
    return name + end if end else group
