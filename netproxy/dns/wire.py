"""Bytes of DNS messages: the one door to dnslib (RFC 1035, 2782, 6891)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dnslib

from netproxy.dns import plain
from netproxy.dns.plain import OLD_UDP_SIZE, UDP_SIZE, Form, Question
from netproxy.dns.records import (
    AAAA,
    CNAME,
    FORMERR,
    NOERROR,
    NOTIMP,
    NS,
    NXDOMAIN,
    PTR,
    SERVFAIL,
    SOA,
    SRV,
    TXT,
    A,
    Answer,
    Record,
    Zone,
)

TCP_SIZE, LARGEST_QUERY = 65535, 4096
"""bytes that an answer may have, and a query that is looked at"""
BADVERS = 16
_MOST = (1, 1, 1, 2)
"""questions, answers, authorities and additional records of a query, as many as CoreDNS takes"""
_UNREADABLE = (dnslib.DNSError, dnslib.DNSLabelError, struct.error, ValueError, IndexError, RecursionError)
"""what the library raises at bytes that are no message, and at names that it reads and could not write"""
_HEADER = struct.Struct("!HHHHHH")
_SHORTEST_RECORD = 12


class Malformed(Exception):
    """Not a query; `id` is its first two bytes, if it had any."""


def parse(data: bytes) -> Question:
    """Raises Malformed for what is no query with one question."""
    if len(data) > LARGEST_QUERY:
        raise Malformed(f"longer than {LARGEST_QUERY} bytes")
    return plain.parse(data) or _parse_unusual(data)


def _parse_unusual(data: bytes) -> Question:
    """The library follows the pointers of each name anew, so that a few kilobytes of names could take it seconds: it is
    given what a query can hold, and no more."""
    try:
        counts = _HEADER.unpack_from(data)[2:]
        if len(data) > OLD_UDP_SIZE or any(count > most for count, most in zip(counts, _MOST, strict=True)):
            raise Malformed("more than a query holds")
        message = dnslib.DNSRecord.parse(data)
        if message.header.qr or len(message.questions) != 1:
            raise Malformed("not a query with one question")
        asked = message.q
        option = next((rr for rr in message.ar if rr.rtype == dnslib.QTYPE.OPT), None)
        name, section = _text(asked.qname), dnslib.DNSBuffer()
        asked.pack(section)
        form = Form(
            asked.qtype,
            asked.qclass,
            message.header.opcode,
            bool(message.header.rd),
            max(OLD_UDP_SIZE, min(option.rclass, UDP_SIZE)) if option else OLD_UDP_SIZE,
            edns=option is not None,
            edns_version=(option.ttl >> 16) & 0xFF if option else 0,
            dnssec=bool(option and option.ttl & 0x8000),
            has_options=bool(option and option.rdata),
        )
        return Question(message.header.id, name, name.lower(), bytes(section.data), form)
    except _UNREADABLE as error:
        raise Malformed(str(error)) from error


def refuse(data: bytes) -> bytes:
    """An answer without content to something whose header at least can be read: NOTIMP where it asks for more than an
    answer, else FORMERR; empty for less or for an answer."""
    if len(data) < _HEADER.size or data[2] & 0x80:
        return b""
    rcode = NOTIMP if data[2] & 0x78 else FORMERR
    return _HEADER.pack(int.from_bytes(data[:2], "big"), 0x8000 | (data[2] & 0x79) << 8 | rcode, 0, 0, 0, 0)


def replies(question: Question, answer: Answer, zone: Zone, limit: int, turns: Sequence[int] = (0,)) -> list[bytes]:
    """Our own answer, authoritative, in at most `limit` bytes, once for each of `turns`: its records turned so far.
    What does not fit is cut off, and the answer says so."""
    usual = plain.replies(question, answer, zone, limit, turns)
    if usual is not None:
        return usual
    orders = [answer.records[n:] + answer.records[:n] for n in turns]
    return [_reply(question, answer._replace(records=each), zone, limit) for each in orders]


def _reply(question: Question, answer: Answer, zone: Zone, limit: int) -> bytes:
    message = _frame(question, answer.rcode & 0xF, authoritative=True)
    names = {question.key: question.name}
    for record in answer.records[: limit // _SHORTEST_RECORD]:
        message.add_answer(_rr(record, names))
    if answer.negative and answer.rcode in (NOERROR, NXDOMAIN):
        message.add_auth(_rr(Record(zone.domain, SOA, zone.nameserver, plain.NEGATIVE_TTL), names))
    for record in answer.extra[: limit // _SHORTEST_RECORD]:
        message.add_ar(_rr(record, names))
    return _finish(message, question, answer.rcode, limit)


def relay(question: Question, found: Sequence[Any], rcode: int, limit: int, head: Sequence[Record] = ()) -> bytes:
    """Somebody else's answer (`found`: answer, authority and additional records) in our frame; SERVFAIL for one with
    names that the library cannot write."""
    try:
        return _relay(question, found, rcode, limit, head)
    except _UNREADABLE:
        return _finish(_frame(question, SERVFAIL, authoritative=False), question, SERVFAIL, limit)


def _relay(question: Question, found: Sequence[Any], rcode: int, limit: int, head: Sequence[Record]) -> bytes:
    message = _frame(question, rcode & 0xF, authoritative=False)
    for record in head:
        message.add_answer(_rr(record, {question.key: question.name}))
    answers, authority, additional = found if found else ((), (), ())
    message.add_answer(*answers)
    message.add_auth(*authority)
    message.add_ar(*additional)
    return _finish(message, question, rcode, limit)


def query(name: str, kind: int, number: int, dnssec: bool = False) -> bytes:
    """A query that asks for recursion."""
    header = dnslib.DNSHeader(id=number, rd=1)
    message = dnslib.DNSRecord(header, q=dnslib.DNSQuestion(name, kind))
    message.add_ar(dnslib.EDNS0(flags="do" if dnssec else "", udp_len=UDP_SIZE))
    return bytes(message.pack())


@dataclass(frozen=True, slots=True)
class Response:
    """An upstream's answer; `sections` are the library's records, without the OPT record."""

    id: int
    name: str
    type: int
    rcode: int
    truncated: bool
    sections: tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]

    @property
    def lifetime(self) -> int | None:
        """Seconds for which the answer may be kept; None when it may not."""
        answers, authority, _ = self.sections
        if answers:
            return int(min(rr.ttl for rr in answers))
        soa = next((rr for rr in authority if rr.rtype == SOA), None)
        return None if soa is None else min(soa.ttl, int(soa.rdata.times[4]))

    def aged(self, seconds: int) -> tuple[tuple[Any, ...], ...]:
        """The sections as they are after so many seconds in a cache."""
        return tuple(
            tuple(dnslib.RR(rr.rname, rr.rtype, rr.rclass, max(0, rr.ttl - seconds), rr.rdata) for rr in section)
            for section in self.sections
        )


def parse_response(data: bytes) -> Response:
    """Raises Malformed."""
    try:
        message = dnslib.DNSRecord.parse(data)
        if not message.header.qr or len(message.questions) != 1:
            raise Malformed("not an answer to one question")
        additional = tuple(rr for rr in message.ar if rr.rtype != dnslib.QTYPE.OPT)
        return Response(
            message.header.id,
            _text(message.q.qname).lower(),
            message.q.qtype,
            message.header.rcode,
            bool(message.header.tc),
            (tuple(message.rr), tuple(message.auth), additional),
        )
    except _UNREADABLE as error:
        raise Malformed(str(error)) from error


def _frame(question: Question, rcode: int, authoritative: bool) -> Any:
    header = dnslib.DNSHeader(
        id=question.id,
        qr=1,
        opcode=question.form.opcode,
        aa=int(authoritative),
        rd=int(question.form.wants_recursion),
        ra=1,
    )
    header.rcode = rcode
    return dnslib.DNSRecord(header, q=dnslib.DNSQuestion(question.name, question.form.type, question.form.cls))


def _finish(message: Any, question: Question, rcode: int, limit: int) -> bytes:
    option = dnslib.EDNS0(flags="do" if question.form.dnssec else "", udp_len=UDP_SIZE, ext_rcode=rcode >> 4)
    if question.form.edns:
        message.add_ar(option)
    packed = bytes(message.pack())
    if len(packed) <= limit:
        return packed
    message.ar = [option] if question.form.edns else []
    packed = bytes(message.pack())
    while len(packed) > limit and message.rr:
        # A part of the answers in proportion to the room, so that few rounds are needed.
        message.header.tc = 1
        message.rr = message.rr[: min(len(message.rr) - 1, len(message.rr) * limit // len(packed))]
        message.auth = []
        packed = bytes(message.pack())
    return packed


def _rr(record: Record, spelled: dict[str, str]) -> Any:
    name = spelled.get(record.name, record.name)
    return dnslib.RR(name, record.type, 1, record.ttl, _data(record))


def _data(record: Record) -> Any:
    value = record.value
    if record.type == SOA:
        times = (plain.SERIAL, plain.REFRESH, plain.RETRY, plain.EXPIRE, plain.NEGATIVE_TTL)
        return dnslib.SOA(value, f"hostmaster.{str(value).removeprefix('ns.dns.')}", times)
    if record.type == SRV:
        return dnslib.SRV(*value)
    return {A: dnslib.A, AAAA: dnslib.AAAA, CNAME: dnslib.CNAME, NS: dnslib.NS, PTR: dnslib.PTR, TXT: dnslib.TXT}[
        record.type
    ](value)


def _text(name: Any) -> str:
    """A name of printable labels; others cannot be ours nor be written down again."""
    labels = [label.decode("ascii") for label in name.label]
    if any("." in label or "\\" in label or not label.isprintable() for label in labels):
        raise ValueError("a label holds what no name may hold")
    return ".".join(labels)
