"""Messages, from bytes and to bytes."""

from __future__ import annotations

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netproxy.dns import records, wire
from netproxy.dns.records import A, Answer, Record
from netproxy.dns.wire import Malformed
from tests.netproxy.dns.cluster import ZONE, ask_bytes, read

NAME = "web.default.svc.cluster.local"


def addresses(count: int) -> Answer:
    return Answer(records=tuple(Record(NAME, A, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(count)))


def test_an_answer_is_authoritative_and_spelled_as_the_question() -> None:
    question = wire.parse(ask_bytes("WEB.default.svc.Cluster.local"))
    seen = read(wire.reply(question, addresses(1), ZONE, 512))
    assert (seen.header.id, seen.header.aa, seen.header.ra, seen.header.rd) == (7, 1, 1, 1)
    assert str(seen.q.qname) == "WEB.default.svc.Cluster.local."
    assert [(str(rr.rname), str(rr.rdata), rr.ttl) for rr in seen.rr] == [
        ("WEB.default.svc.Cluster.local.", "10.0.0.0", 30)
    ]
    assert not seen.ar, "EDNS only to who speaks it"


def test_no_name_and_no_data_carry_the_zone_and_are_not_to_be_remembered() -> None:
    question = wire.parse(ask_bytes(NAME))
    for rcode in (records.NXDOMAIN, records.NOERROR):
        seen = read(wire.reply(question, Answer(rcode), ZONE, 512))
        assert seen.header.rcode == rcode and not seen.rr
        (authority,) = seen.auth
        assert str(authority.rname) == "cluster.local."
        assert min(authority.ttl, authority.rdata.times[4]) == 0


@pytest.mark.parametrize("size", [0, 512, 700, 4096])
@pytest.mark.parametrize("count", [1, 20, 60, 1000])
def test_what_does_not_fit_is_cut_and_says_so(size: int, count: int) -> None:
    question = wire.parse(ask_bytes(NAME, edns=size))
    limit = max(512, min(size, wire.UDP_SIZE))
    assert question.size == limit
    data = wire.reply(question, addresses(count), ZONE, question.size)
    seen = read(data)
    assert len(data) <= limit
    assert bool(seen.header.tc) == (len(seen.rr) < count)
    assert len(seen.rr) >= min(count, (limit - 100) // 16)
    assert bool(seen.ar) == bool(size)
    whole = read(wire.reply(question, addresses(count), ZONE, wire.TCP_SIZE))
    assert len(whole.rr) == count and not whole.header.tc


def test_an_unknown_edns_version_is_told() -> None:
    question = wire.parse(ask_bytes(NAME, edns=1232))
    seen = read(wire.reply(question, Answer(wire.BADVERS), ZONE, 512))
    assert seen.ar[0].ttl >> 24 == 1 and seen.header.rcode == 0


@given(st.binary(max_size=80))
def test_whatever_comes_is_a_question_or_malformed(data: bytes) -> None:
    try:
        wire.parse(data)
    except Malformed:
        refusal = wire.refuse(data)
        assert refusal == b"" or (len(refusal) == 12 and refusal[2] & 0x80 and refusal[3] & 0xF == records.FORMERR)


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_damaged_question_never_breaks_the_reader(place: int, value: int) -> None:
    data = bytearray(ask_bytes(NAME, edns=1232))
    data[place % len(data)] = value
    try:
        question = wire.parse(bytes(data))
        wire.reply(question, Answer(records.NXDOMAIN), ZONE, question.size)
    except Malformed:
        pass


def test_answers_are_never_answered() -> None:
    answer = wire.reply(wire.parse(ask_bytes(NAME)), addresses(1), ZONE, 512)
    with pytest.raises(Malformed):
        wire.parse(answer)
    assert wire.refuse(answer) == b""


def test_others_answers_age() -> None:
    message = dnslib.DNSRecord(dnslib.DNSHeader(id=1, qr=1), q=dnslib.DNSQuestion("a.example"))
    message.add_answer(dnslib.RR("a.example", rdata=dnslib.A("192.0.2.1"), ttl=20))
    response = wire.parse_response(bytes(message.pack()))
    assert response.lifetime == 20
    seen = read(wire.relay(wire.parse(ask_bytes("a.example", number=9)), response.aged(8), 0, 512))
    assert (seen.header.id, seen.header.aa, seen.rr[0].ttl) == (9, 0, 12)
