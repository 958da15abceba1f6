"""Regular expressions as Go's library takes them (RE2's syntax), by Python's: what is wrong with one, in its words."""

from __future__ import annotations

import re
from functools import lru_cache

# What Python takes and Go does not.
_FOREIGN = re.compile(r"\(\?(?:=|!|<=|<!|\(|P=[^)]*\)?|>|#)")
_BACK_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*(\\[1-9])")
# What Go takes and Python does not, and something like it.
_GO_ONLY = (
    (r"\\z", r"\\Z"),
    (r"\\pL|\\p\{L\}", "[A-Za-z]"),
    (r"\\[pP](?:\{\^?\w+\}|\w)", "."),
    (r"\\C", "."),
    (r"\(\?<(?=\w)", "(?P<"),
    (r"\(\?[imsU]+\)", ""),
)
_CLASSES = re.compile(r"\[:\^?\w+:\]")


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """The expression, None when it is none."""
    try:
        return re.compile(_translated(pattern))
    except re.error:
        return None


@lru_cache(maxsize=1024)
def complaint(pattern: str) -> str:
    """What is wrong with it, "" when it is fine."""
    if found := _FOREIGN.search(pattern):
        return f"error parsing regexp: invalid or unsupported Perl syntax: `{found[0]}`"
    if found := _BACK_REFERENCE.search(pattern):
        return f"error parsing regexp: invalid escape sequence: `{found[1]}`"
    try:
        re.compile(_translated(pattern))
    except re.error as error:
        return f"error parsing regexp: {_reason(pattern, error)}"
    return ""


def _translated(pattern: str) -> str:
    for theirs, ours in _GO_ONLY:
        pattern = re.sub(theirs, ours, pattern)
    return _CLASSES.sub(r"\\w", pattern)


def _reason(pattern: str, error: re.error) -> str:
    at, text = error.pos or 0, error.msg
    if "unterminated subpattern" in text:
        return f"missing closing ): `{pattern}`"
    if "unbalanced parenthesis" in text:
        return f"unexpected ): `{pattern}`"
    if "unterminated character set" in text:
        return f"missing closing ]: `{pattern[at:]}`"
    if "nothing to repeat" in text:
        return f"missing argument to repetition operator: `{pattern[at : at + 1]}`"
    if "multiple repeat" in text:
        return f"invalid nested repetition operator: `{pattern[at - 1 : at + 1]}`"
    if "bad character range" in text:
        return f"invalid character class range: `{text.rpartition(' ')[2]}`"
    if "end of pattern" in text:
        return "trailing backslash at end of expression: ``"
    if "bad escape" in text:
        return f"invalid escape sequence: `{text.rpartition(' ')[2]}`"
    if "min repeat greater" in text:
        return f"invalid repeat count: `{pattern[pattern.rfind('{', 0, at + 1) : pattern.find('}', at) + 1]}`"
    return f"invalid or unsupported Perl syntax: `{pattern[at:]}`"
