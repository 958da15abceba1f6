"""Large JSON texts, read a piece at a time.

One call of a JSON library lets no other thread run until it is through: 3 MB of small values take 30 to 90 ms. Here the
text is cut between members of its containers, wherever a piece has grown large enough, and the library reads each piece
on its own; so other threads have their turn in between. Finding the cuts costs about 0.2 s for the worst 3 MB, in a
thread that gives way all the time.

    {"a": [1, 2, 3, …, 9000], "b": {"c": …}}
     ^^^^  ^^^^^^^  ^^^^^^^   pieces: what lies in a container between two cuts, put into brackets of its own
"""

from __future__ import annotations

import re
from typing import Any

import orjson

__all__ = ["PIECE", "Broken", "TooDeep", "loads", "may_repeat", "told"]

PIECE = 64 * 1024
"""Bytes from which on a container is cut at its next comma: about 2 ms of the library."""
_MARK = re.compile(rb'["\[\]{},]')
_KEYS = re.compile(rb'"\s*:')
# A quote, a colon or a space that is written as an escape, and would be read again as none.
_ESCAPED = re.compile(rb"\\u00(?:2[02]|3[aA])")
_QUOTE, _BACKSLASH, _COMMA = b'"', b"\\"[0], b","[0]
_CLOSES = {b"["[0]: b"]"[0], b"{"[0]: b"}"[0]}
_EMPTY = (b"[]", b"{}")
_BRACKETS = {b"["[0]: (b"[", b"]"), b"{"[0]: (b"{", b"}")}
_SPACE = b" \t\r\n"


class Broken(ValueError):
    """The text is no JSON; what is wrong with it, others say."""


class TooDeep(ValueError):
    """It is nested deeper than asked for."""


class _Open:
    """A container whose end has not been reached.

    began, pending, member: where its bracket stands, where what has not been read begins, where its newest member does.
    value: its members read so far, None before the first cut. closed: its last member has been read apart, so nothing
    may come before the next comma.
    """

    __slots__ = ("began", "bracket", "closed", "member", "pending", "value")

    def __init__(self, bracket: int, began: int) -> None:
        self.bracket, self.began = bracket, began
        self.pending = self.member = began + 1
        self.value: Any = None
        self.closed = False


class _Reader:
    def __init__(self, text: bytes, depth: int, looks: bool) -> None:
        self.text, self.depth, self.looks = text, depth, looks
        self.stack: list[_Open] = []
        self.repeats = False

    def document(self) -> Any:
        text, stack, search = self.text, self.stack, _MARK.search
        at = 0
        while found := search(text, at):
            place = found.start()
            mark, at = text[place], place + 1
            if mark == _QUOTE[0]:
                at = self._behind_string(at)
            elif mark == _COMMA:
                self._comma(place)
            elif mark in _CLOSES:
                if len(stack) >= self.depth:
                    raise TooDeep
                if stack and text.startswith(_EMPTY, at - 1):
                    at += 1
                    continue
                stack.append(_Open(mark, place))
            else:
                value = self._close(place, mark)
                if not stack:
                    return self._whole(value, at)
        raise Broken

    def _behind_string(self, at: int) -> int:
        text = self.text
        while (end := text.find(_QUOTE, at)) >= 0:
            back = end
            while text[back - 1] == _BACKSLASH:
                back -= 1
            if not (end - back) % 2:
                return end + 1
            at = end + 1
        raise Broken

    def _comma(self, place: int) -> None:
        if not self.stack:
            raise Broken
        top = self.stack[-1]
        if top.closed:
            self._nothing(top.pending, place)
            top.closed, top.pending = False, place + 1
        elif place - top.pending >= PIECE:
            self._take(top, place)
            top.pending = place + 1
        top.member = place + 1

    def _close(self, place: int, mark: int) -> Any:
        """The container's value where it was read apart from what it lies in, else None."""
        if not self.stack or _CLOSES[self.stack[-1].bracket] != mark:
            raise Broken
        top = self.stack.pop()
        if top.value is None:
            if place - top.began < PIECE and self.stack:
                return None
            value = self._read(self.text[top.began : place + 1])
        else:
            if top.closed:
                self._nothing(top.pending, place)
            else:
                self._take(top, place)
            value = top.value
        if self.stack:
            self._apart(self.stack[-1], top.began, value, place + 1)
        return value

    def _apart(self, holder: _Open, began: int, value: Any, behind: int) -> None:
        """Put a member that was read apart where it belongs."""
        if holder.closed:
            raise Broken
        if holder.pending < holder.member:
            self._take(holder, holder.member - 1)
        before = self.text[holder.member : began]
        if holder.value is None:
            holder.value = [] if holder.bracket == b"["[0] else {}
        if isinstance(holder.value, list):
            if before.strip(_SPACE):
                raise Broken
            holder.value.append(value)
        else:
            self._add(holder.value, dict.fromkeys(self._read(b"{%b0}" % before), value), 1)
        holder.closed, holder.pending = True, behind

    def _take(self, holder: _Open, end: int) -> None:
        """Read the members that lie between the last cut and `end`."""
        opening, closing = _BRACKETS[holder.bracket]
        found = self._read(b"".join((opening, memoryview(self.text)[holder.pending : end], closing)))
        if not found:
            raise Broken
        if holder.value is None:
            holder.value = found
        elif isinstance(found, list):
            holder.value += found
        else:
            self._add(holder.value, found, len(found))

    def _add(self, members: dict[str, Any], more: dict[str, Any], count: int) -> None:
        if len(more) != count:
            raise Broken
        before = len(members)
        members.update(more)
        self.repeats = self.repeats or len(members) != before + count

    def _read(self, piece: bytes) -> Any:
        value = orjson.loads(piece)
        if self.looks and not self.repeats:
            self.repeats = may_repeat(piece, value)
        return value

    def _nothing(self, start: int, end: int) -> None:
        if self.text[start:end].strip(_SPACE):
            raise Broken

    def _whole(self, value: Any, behind: int) -> Any:
        self._nothing(behind, len(self.text))
        return value


def may_repeat(text: bytes, value: Any) -> bool:
    """Whether an object in a text, which was read to `value`, may say a key twice; never a wrong no."""
    # A key said twice leaves fewer of them. In strings, what looks like one must look so in both texts.
    return bool(_ESCAPED.search(text)) or len(_KEYS.findall(text)) != len(_KEYS.findall(orjson.dumps(value)))


def loads(text: bytes, depth: int) -> Any:
    """The value of a text whose outermost value is a container.

    Raises Broken, TooDeep (more than `depth` levels), orjson.JSONDecodeError.
    """
    return _reader(text, depth, looks=False).document()


def told(text: bytes, depth: int) -> tuple[Any, bool]:
    """The same, and whether an object in it may say a key twice, which costs as much once more."""
    reader = _reader(text, depth, looks=True)
    return reader.document(), reader.repeats


def _reader(text: bytes, depth: int, looks: bool) -> _Reader:
    if text.lstrip(_SPACE)[:1] not in (b"[", b"{"):
        raise Broken
    return _Reader(text, depth, looks)
