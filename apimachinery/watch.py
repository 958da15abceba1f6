"""Decoding a watch stream without I/O: bytes in, events out.

The stream is JSON objects `{"type": …, "object": …}`, one a line (API concepts, "Efficient detection of
changes").
"""

from __future__ import annotations

from apimachinery import errors
from apimachinery.objects import Obj, loads

# An event holds one object, at most 1.5 MB in the store; a line that outgrows this is no watch stream.
MAX_LINE = 16 << 20


class Decoder:
    """Collects chunks and returns the events that are complete."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[tuple[str, Obj]]:
        """The events that `chunk` completes, as (type, object).

        An ERROR event raises what its Status means (Expired, …). Raises ValueError for what is no event.
        """
        head, newline, tail = chunk.partition(b"\n")
        self._rest.append(head)
        self._size += len(head)
        if not newline:
            if self._size > MAX_LINE:
                raise ValueError(f"a watch event of more than {MAX_LINE} bytes")
            return []
        *lines, rest = tail.split(b"\n")
        lines.insert(0, b"".join(self._rest))
        self._rest, self._size = [rest], len(rest)
        return [_event(line) for line in lines if line.strip()]


def _event(line: bytes) -> tuple[str, Obj]:
    event = loads(line)
    kind, obj = event["type"], event["object"]
    if kind == "ERROR":
        raise errors.from_status(obj)
    return kind, obj
