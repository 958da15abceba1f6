"""The text of an expression, and complaints about places in it. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

# More complaints than these are counted only.
MAX_SHOWN = 100
# A longer line is not repeated under a complaint.
_MAX_SNIPPET = 16384
NOWHERE = -1


class Source:
    """A text; places in it are offsets in characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(index + 1 for index, letter in enumerate(text) if letter == "\n")]

    def place(self, offset: int) -> tuple[int, int]:
        """(line from 1, column from 0); (-1, -1) for what has no place."""
        if offset < 0:
            return -1, -1
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1]

    def line(self, number: int) -> str:
        start = self._starts[number - 1]
        return self.text[start:].partition("\n")[0]


@dataclass
class Complaints:
    """What is wrong with an expression, in the order in which it was found."""

    source: Source
    found: list[tuple[int, str]] = field(default_factory=list)
    count: int = 0

    def add(self, offset: int, message: str) -> None:
        self.count += 1
        if self.count <= MAX_SHOWN:
            self.found.append((offset, message))

    def __bool__(self) -> bool:
        return self.count > 0

    def text(self) -> str:
        """All of them by their places, each with its line and a mark under what it means."""
        shown = [self._shown(*each) for each in sorted(self.found, key=lambda each: self.source.place(each[0]))]
        if self.count > MAX_SHOWN:
            shown.append(f"{self.count - MAX_SHOWN} more errors were truncated")
        return "\n".join(shown)

    def _shown(self, offset: int, message: str) -> str:
        line, column = self.source.place(offset)
        if line > 0 and not self.source.text:
            # Of nothing there is no line to show.
            return f"ERROR: <input>:{line}:{column}: {message}"
        told = f"ERROR: <input>:{line}:{column + 1}: {message}"
        if line < 1:
            return told
        snippet = self.source.line(line)
        if len(snippet) > _MAX_SNIPPET:
            return told
        snippet = snippet.replace("\t", " ")
        # Wide letters get wide marks, so that the mark stands below its letter.
        dots = "".join("．" if letter > "\x7f" else "." for letter in snippet[:column])
        mark = "＾" if snippet[column : column + 1] > "\x7f" else "^"
        return f"{told}\n | {snippet}\n | {dots}{mark}"
