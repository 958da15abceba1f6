"""What a person sees while a command works: one line a step, with the time it took."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Progress:
    """Prints steps to stderr, so that stdout stays for answers. Rewrites the line on a terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        # A terminal that can take its line back; TERM is unset or "dumb" where none is.
        self._terminal = bool(sys.stderr and sys.stderr.isatty()) and os.environ.get("TERM", "") not in ("", "dumb")
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since this was made."""
        return time.monotonic() - self._started

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show `text` while the block runs, then how long it took; a failure is marked and passed on."""
        started = time.monotonic()
        if self._terminal:
            self._write(f"  ·  {text} …", end="")
        try:
            yield
        except BaseException:
            self._write(f"{self._back()}  ✗  {text}")
            raise
        self._write(f"{self._back()}  ✓  {text:<66}{time.monotonic() - started:6.1f} s")

    def say(self, text: str = "") -> None:
        """A line of its own."""
        self._write(text)

    def _back(self) -> str:
        return "\r\x1b[K" if self._terminal else ""

    def _write(self, text: str, end: str = "\n") -> None:
        if not self._quiet:
            # Nothing fails for want of a reader.
            with suppress(OSError):
                print(text, end=end, file=sys.stderr, flush=True)
