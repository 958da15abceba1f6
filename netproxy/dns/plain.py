"""The shapes nearly every message has, read and written without a library: one question, with or without EDNS, and an
answer of addresses or of none (RFC 1035, 2308, 6891). Pure. None for every other shape, which is the library's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from netproxy.dns.records import AAAA, NOERROR, NXDOMAIN, SOA, A, Answer, Zone

UDP_SIZE = 1232
"""the largest datagram that no common path has to cut in pieces"""
OLD_UDP_SIZE = 512
SERIAL, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL = 1, 7200, 1800, 86400, 0
_OPT = 41
_START = 12
"""where the question begins: after the header"""
_HEADER, _COUNTS = struct.Struct("!HHHHHH"), struct.Struct("!HHHHH")
_TYPES, _OPTION = struct.Struct("!HH"), struct.Struct("!BHHIH")
_RECORD = struct.Struct("!HHHIH")
_RESPONSE, _OPCODE, _AUTHORITATIVE, _TRUNCATED, _RECURSION, _RECURSES = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080
_POINTER, _DO = 0xC000, 0x8000
_LONGEST_LABEL, _LONGEST_NAME, _USUAL_TAIL = 63, 255, _TYPES.size + _OPTION.size
_FAMILIES = {A: AF_INET, AAAA: AF_INET6}


@dataclass(frozen=True, slots=True)
class Form:
    """What a query says besides its id and its name; clients have few of them."""

    type: int
    cls: int
    opcode: int = 0
    wants_recursion: bool = False
    size: int = OLD_UDP_SIZE
    """bytes the asker takes over UDP"""
    edns: bool = False
    edns_version: int = 0
    dnssec: bool = False
    has_options: bool = False


class Question(NamedTuple):
    """A query with one question. (A tuple, since a frozen dataclass takes four times as long to make.)"""

    id: int
    name: str
    """as asked, without the final dot"""
    key: str
    """the name in lower case"""
    section: bytes
    """name, type and class as they were written"""
    form: Form


def parse(data: bytes) -> Question | None:
    """The question of a usual query: opcode QUERY, a name of printable labels, at most one OPT record, nothing else."""
    labels, at = [], _START
    try:
        while size := data[at]:
            if size > _LONGEST_LABEL:
                return None
            at += size + 1
            labels.append(data[at - size : at])
        name = b".".join(labels).decode("ascii")
    except (IndexError, UnicodeDecodeError):
        return None
    if at >= _START + _LONGEST_NAME or not name.isprintable() or "\\" in name:
        return None
    if name.count(".") != max(len(labels) - 1, 0):
        return None
    at += 1
    read = _form if len(data) <= at + _USUAL_TAIL else _form.__wrapped__
    form = read(data[2:_START], data[at:])
    if form is None:
        return None
    return Question(int.from_bytes(data[:2], "big"), name, name.lower(), data[_START : at + _TYPES.size], form)


@lru_cache(maxsize=1024)
def _form(head: bytes, tail: bytes) -> Form | None:
    """`head`: the header without the id, `tail`: what follows the name."""
    flags, *counts = _COUNTS.unpack(head)
    if flags & (_RESPONSE | _OPCODE) or counts[:3] != [1, 0, 0] or len(tail) < _TYPES.size:
        return None
    kind, cls = _TYPES.unpack_from(tail)
    recursion, rest = bool(flags & _RECURSION), tail[_TYPES.size :]
    if counts[3] == 0:
        return None if rest else Form(kind, cls, wants_recursion=recursion)
    if counts[3] > 1 or len(rest) < _OPTION.size:
        return None
    root, record, size, said, length = _OPTION.unpack_from(rest)
    if root or record != _OPT or not _is_list_of_options(rest[_OPTION.size :], length):
        return None
    size, version, dnssec = max(OLD_UDP_SIZE, min(size, UDP_SIZE)), said >> 16 & 0xFF, bool(said & _DO)
    return Form(kind, cls, 0, recursion, size, True, version, dnssec, length > 0)


def _is_list_of_options(rest: bytes, length: int) -> bool:
    at = 0
    while at + _TYPES.size <= length == len(rest):
        at += _TYPES.size + _TYPES.unpack_from(rest, at)[1]
    return at == length == len(rest)


def replies(question: Question, answer: Answer, zone: Zone, limit: int, turns: Sequence[int]) -> list[bytes] | None:
    """Our own answer, authoritative, in at most `limit` bytes, once for each of `turns`: its records turned so far.
    What does not fit is cut off, and the answer says so. None when there is more than one family's addresses of that
    name."""
    packed = _addresses(question, answer)
    if packed is None or answer.extra:
        return None
    form, authority = question.form, b""
    if not packed and answer.rcode in (NOERROR, NXDOMAIN):
        authority = _soa(zone.domain, zone.nameserver, _place(question, zone.domain))
    option = _option(answer.rcode, form.dnssec) if form.edns else b""
    flags = _RESPONSE | _AUTHORITATIVE | _RECURSES | form.opcode << 11 | answer.rcode & 0xF
    if form.wants_recursion:
        flags |= _RECURSION
    count, room = len(packed), limit - _START - len(question.section) - len(option)
    if packed and count * len(packed[0]) > room:
        count, flags = room // len(packed[0]), flags | _TRUNCATED
    head = _HEADER.pack(question.id, flags, 1, count, bool(authority), bool(option)) + question.section
    tail = authority + option
    return [head + b"".join((packed[n:] + packed[:n])[:count]) + tail for n in turns]


def _addresses(question: Question, answer: Answer) -> list[bytes] | None:
    """Each record's bytes; None when one is of another name, type or family."""
    packed: list[bytes] = []
    for name, kind, value, ttl in answer.records:
        if name != question.key or kind not in _FAMILIES or kind != answer.records[0].type:
            return None
        address = inet_pton(_FAMILIES[kind], str(value))
        packed.append(_RECORD.pack(_POINTER | _START, kind, 1, ttl, len(address)) + address)
    return packed


@lru_cache(maxsize=64)
def _option(rcode: int, dnssec: bool) -> bytes:
    """Our OPT record, which carries the upper half of the answer's code."""
    return _OPTION.pack(0, _OPT, UDP_SIZE, rcode >> 4 << 24 | (_DO if dnssec else 0), 0)


def _place(question: Question, domain: str) -> int:
    """Where in the message the domain stands as the end of the question's name; 0 for nowhere."""
    if question.key == domain or question.key.endswith("." + domain):
        return _START + len(question.section) - _TYPES.size - len(domain) - 2
    return 0


@lru_cache(maxsize=512)
def _soa(domain: str, nameserver: str, place: int) -> bytes:
    """The zone's SOA record; its name is a pointer to `place`, if there is one."""
    name = (_POINTER | place).to_bytes(2, "big") if place else _name(domain)
    hostmaster = b"\x0ahostmaster" + name
    times = struct.pack("!IIIII", SERIAL, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL)
    data = _name(nameserver.removesuffix("." + domain))[:-1] + name + hostmaster + times
    return name + _RECORD.pack(0, SOA, 1, NEGATIVE_TTL, len(data))[2:] + data


def _name(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in text.split(".")) + b"\0"
