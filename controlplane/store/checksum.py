"""The checksums of rows and their chain. Pure; a backup tool can compute them from this page alone.

sum(row)    CRC-32 (zlib's) over `REVISION CREATED KEY`, a zero byte, and `=` with the value or `-` for a deletion.
            Numbers are decimal, text is UTF-8.
chain(row)  the sums of all rows that were ever written up to this one, added modulo 2^64 (signed).

Because addition does not care about order, rows that compaction takes away can be taken off again: the sums of what is
there and of what was forgotten always add up to the chain of the newest revision.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from controlplane.store.model import Change

_SIGN, _MODULUS = 1 << 63, 1 << 64
# Beyond 5 KB zlib lets other threads run: a thread that gives way for 2 µs waits up to 5 ms for its turn.
_PIECE = 5000


def sum_of(change: Change) -> int:
    """A row's checksum."""
    value = change.value
    mark = b"-" if value is None else b"="
    found = crc32(b"%d %d %s\0%s" % (change.revision, change.created, change.key.encode(), mark))
    if value is not None:
        for at in range(0, len(value), _PIECE):
            found = crc32(value[at : at + _PIECE], found)
    return found


def added(left: int, right: int) -> int:
    """Addition modulo 2^64, signed."""
    return (left + right + _SIGN) % _MODULUS - _SIGN


class Row(NamedTuple):
    """A row as it lies in the file."""

    change: Change
    sum: int
    chain: int

    @property
    def sound(self) -> bool:
        """What was read is what was written; a damaged file can give any type for anything."""
        try:
            return sum_of(self.change) == self.sum
        except (AttributeError, TypeError, UnicodeError):
            return False


def sealed(change: Change, chain: int) -> Row:
    """The row of a change that follows a chain."""
    own = sum_of(change)
    return Row(change, own, added(chain, own))
