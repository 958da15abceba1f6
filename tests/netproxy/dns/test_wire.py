"""Messages, from bytes and to bytes."""

from __future__ import annotations

import struct

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netproxy.dns import plain, records, wire
from netproxy.dns.records import AAAA, ANY, SRV, A, Answer, Record, Zone
from netproxy.dns.wire import Malformed
from tests.netproxy.dns.cluster import ZONE, ask_bytes, read

NAME = "web.default.svc.cluster.local"


def addresses(count: int) -> Answer:
    return Answer(records=tuple(Record(NAME, A, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(count)))


def reply(question: plain.Question, answer: Answer, zone: Zone, limit: int) -> bytes:
    (data,) = wire.replies(question, answer, zone, limit)
    return data


def test_an_answer_is_authoritative_and_spelled_as_the_question() -> None:
    question = wire.parse(ask_bytes("WEB.default.svc.Cluster.local"))
    seen = read(reply(question, addresses(1), ZONE, 512))
    assert (seen.header.id, seen.header.aa, seen.header.ra, seen.header.rd) == (7, 1, 1, 1)
    assert str(seen.q.qname) == "WEB.default.svc.Cluster.local."
    assert [(str(rr.rname), str(rr.rdata), rr.ttl) for rr in seen.rr] == [
        ("WEB.default.svc.Cluster.local.", "10.0.0.0", 30)
    ]
    assert not seen.ar, "EDNS only to who speaks it"


def test_no_name_and_no_data_carry_the_zone_and_are_not_to_be_remembered() -> None:
    question = wire.parse(ask_bytes(NAME))
    for rcode in (records.NXDOMAIN, records.NOERROR):
        seen = read(reply(question, Answer(rcode), ZONE, 512))
        assert seen.header.rcode == rcode and not seen.rr
        (authority,) = seen.auth
        assert str(authority.rname) == "cluster.local."
        assert min(authority.ttl, authority.rdata.times[4]) == 0


@pytest.mark.parametrize("size", [0, 512, 700, 4096])
@pytest.mark.parametrize("count", [1, 20, 60, 1000])
def test_what_does_not_fit_is_cut_and_says_so(size: int, count: int) -> None:
    question = wire.parse(ask_bytes(NAME, edns=size))
    limit = max(512, min(size, plain.UDP_SIZE))
    assert question.form.size == limit
    data = reply(question, addresses(count), ZONE, question.form.size)
    seen = read(data)
    assert len(data) <= limit
    assert bool(seen.header.tc) == (len(seen.rr) < count)
    assert len(seen.rr) >= min(count, (limit - 100) // 16)
    assert bool(seen.ar) == bool(size)
    whole = read(reply(question, addresses(count), ZONE, wire.TCP_SIZE))
    assert len(whole.rr) == count and not whole.header.tc


def test_an_unknown_edns_version_is_told() -> None:
    question = wire.parse(ask_bytes(NAME, edns=1232))
    seen = read(reply(question, Answer(wire.BADVERS), ZONE, 512))
    assert seen.ar[0].ttl >> 24 == 1 and seen.header.rcode == 0


@given(st.binary(max_size=80))
def test_whatever_comes_is_a_question_or_malformed(data: bytes) -> None:
    try:
        wire.parse(data)
    except Malformed:
        assert plain.parse(data) is None
        refusal = wire.refuse(data)
        assert refusal == b"" or (len(refusal) == 12 and refusal[2] & 0x80)
        assert refusal == b"" or refusal[3] & 0xF == (records.NOTIMP if refusal[2] & 0x78 else records.FORMERR)


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_damaged_question_never_breaks_the_reader(place: int, value: int) -> None:
    data = bytearray(ask_bytes(NAME, edns=1232))
    data[place % len(data)] = value
    try:
        question = wire.parse(bytes(data))
        reply(question, Answer(records.NXDOMAIN), ZONE, question.form.size)
    except Malformed:
        pass


def with_records(section: int, count: int, opcode: int = 0) -> bytes:
    data = bytearray(ask_bytes(NAME) + (b"\0" + struct.pack("!HHIH", 65280, 1, 0, 1) + b"x") * count)
    data[2] |= opcode << 3
    data[4 + 2 * section : 6 + 2 * section] = struct.pack("!H", count)
    return bytes(data)


def pointers(levels: int) -> bytes:
    """A query whose last name is a chain of so many pointers."""
    data = with_records(3, 1)[:-3]
    first = len(data) + 2
    chain = b"\0" + b"".join(struct.pack("!H", 0xC000 | max(first, first - 1 + 2 * n)) for n in range(levels))
    data += struct.pack("!H", len(chain)) + chain
    data += struct.pack("!HHHIHB", 0xC000 | (len(data) - 2), 65280, 1, 0, 1, 0)
    return data[:10] + struct.pack("!H", 2) + data[12:]


@pytest.mark.parametrize(
    "data",
    [with_records(1, 2), with_records(2, 2), with_records(3, 3), with_records(3, 300), pointers(900)],
)
def test_what_no_query_holds_is_not_read(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library follows each name's pointers anew: a few kilobytes can take it seconds."""
    monkeypatch.setattr(dnslib.DNSRecord, "parse", None)
    with pytest.raises(Malformed):
        wire.parse(data)


@pytest.mark.parametrize("count", [1, 20])
def test_an_update_is_told_that_there_are_none(count: int) -> None:
    data = with_records(2, count, opcode=5)
    if count == 1:
        assert wire.parse(data).form.opcode == 5
    else:
        with pytest.raises(Malformed):
            wire.parse(data)
        assert wire.refuse(data)[2:4] == bytes((0x80 | 5 << 3 | 1, records.NOTIMP))


@pytest.mark.parametrize(
    "name",
    [
        b"\x40" + b"a" * 64 + b"\0",
        (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0",
        b"\x05a\\046\0",
        b"\x06a\\128b\0",
        b"\x03a.b\0",
        b"\x01\x07\0",
        b"\x02\xc3\xa9\0",
    ],
)
def test_a_name_that_cannot_be_written_again_is_malformed(name: bytes) -> None:
    data = ask_bytes("")
    assert plain.parse(data) is not None
    with pytest.raises(Malformed):
        wire.parse(data[:12] + name + data[13:])


def test_an_answer_of_nothing_but_pointers_is_malformed() -> None:
    data = bytearray(pointers(1100))
    data[2] |= 0x80
    with pytest.raises(Malformed):
        wire.parse_response(bytes(data))


def test_an_answer_that_cannot_be_handed_on_is_a_failure() -> None:
    question = wire.parse(ask_bytes("a.example", edns=1232))
    name = b"\x40" + b"a" * 64 + b"\0"
    record = name + struct.pack("!HHIH", A, 1, 30, 4) + bytes(4)
    response = wire.parse_response(struct.pack("!HHHHHH", 7, 0x8180, 1, 1, 0, 0) + question.section + record)
    seen = read(wire.relay(question, response.sections, records.NOERROR, 512))
    assert (seen.header.rcode, seen.rr, len(seen.ar), str(seen.q.qname)) == (records.SERVFAIL, [], 1, "a.example.")


def test_answers_are_never_answered() -> None:
    answer = reply(wire.parse(ask_bytes(NAME)), addresses(1), ZONE, 512)
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


LABEL = st.text("abcXYZ-_019", min_size=1, max_size=63)
NAMES = st.one_of(st.lists(LABEL, max_size=5).map(".".join), LABEL.map(lambda label: label + ".Cluster.local"))
OPTIONS = st.one_of(st.none(), st.lists(st.tuples(st.integers(1, 99), st.binary(min_size=1, max_size=9)), max_size=2))


@given(NAMES, st.sampled_from(["A", "AAAA", "SRV", "ANY"]), OPTIONS, st.integers(0, 5000), st.booleans())
def test_what_is_read_without_the_library_is_what_the_library_reads(
    name: str, kind: str, options: list[tuple[int, bytes]] | None, size: int, dnssec: bool
) -> None:
    message = dnslib.DNSRecord(dnslib.DNSHeader(id=7, rd=1), q=dnslib.DNSQuestion(name, getattr(dnslib.QTYPE, kind)))
    if options is not None:
        said = [dnslib.EDNSOption(*option) for option in options]
        message.add_ar(dnslib.EDNS0(udp_len=size, flags="do" if dnssec else "", opts=said))
    data = bytes(message.pack())
    assert plain.parse(data) == wire._parse_unusual(data)


@pytest.mark.parametrize(
    "data",
    [
        ask_bytes(NAME)[:-1],
        ask_bytes(NAME) + b"\0",
        ask_bytes(NAME, edns=512)[:-1],
        ask_bytes(NAME, edns=512, tail=dnslib.EDNSOption(10, b"12345678"))[:-1],
        ask_bytes(NAME)[:12] + b"\xc0\x0c" + ask_bytes(NAME)[-4:],
        ask_bytes(NAME)[:2] + b"\x28" + ask_bytes(NAME)[3:],
        ask_bytes("a" * 40 + ".b.c").replace(b"aaa", b"a.a"),
        ask_bytes(NAME)[:12] + b"\x3f".join([b"", *[b"a" * 63] * 5]) + ask_bytes(NAME)[-5:],
    ],
)
def test_anything_unusual_is_left_to_the_library(data: bytes) -> None:
    assert plain.parse(data) is None


RECORDS = st.lists(
    st.one_of(
        st.integers(0, 255).map(lambda n: Record(NAME, A, f"10.0.0.{n}")),
        st.integers(0, 255).map(lambda n: Record(NAME, AAAA, f"fd00::{n:x}", 5)),
    ),
    max_size=90,
)


@settings(max_examples=50)
@given(
    RECORDS,
    st.sampled_from([0, 2, 3, 4, 5, wire.BADVERS]),
    st.sampled_from([NAME, "WEB.Default.svc.cluster.LOCAL"]),
    st.sampled_from([0, 512, 1232]),
    st.booleans(),
)
def test_what_is_written_without_the_library_is_what_the_library_writes(
    found: list[Record], rcode: int, name: str, edns: int, whole: bool
) -> None:
    """But for where it cuts, and for how names are compressed."""
    question = wire.parse(ask_bytes(name, edns=edns))
    answer = Answer(rcode, tuple(found))
    limit = wire.TCP_SIZE if whole else question.form.size
    quick, slow = read(reply(question, answer, ZONE, limit)), read(wire._reply(question, answer, ZONE, limit))
    assert quick.header.tc == slow.header.tc
    if not slow.header.tc:
        assert str(quick).lower() == str(slow).lower()


@pytest.mark.parametrize("asked", ["5.1.244.10.in-addr.arpa", "cluster.local", "x.cluster.local"])
def test_no_name_is_told_below_any_name(asked: str) -> None:
    question = wire.parse(ask_bytes(asked))
    data = reply(question, Answer(records.NXDOMAIN), ZONE, 512)
    assert str(read(data)) == str(read(wire._reply(question, Answer(records.NXDOMAIN), ZONE, 512)))


def test_a_set_is_turned_and_cut_where_it_is_full() -> None:
    question = wire.parse(ask_bytes(NAME))
    first, second = (read(data) for data in wire.replies(question, addresses(100), ZONE, 512, (0, 50)))
    assert (str(first.rr[0].rdata), str(second.rr[0].rdata)) == ("10.0.0.0", "10.0.0.50")
    assert len(first.rr) == len(second.rr) == (512 - len(ask_bytes(NAME))) // 16


def test_others_than_addresses_of_one_family_are_the_librarys() -> None:
    question = wire.parse(ask_bytes(NAME, "ANY"))
    for found in (
        (Record(NAME, SRV, (0, 100, 80, NAME)),),
        (Record(NAME, A, "10.0.0.1"), Record(NAME, AAAA, "fd00::1")),
        (Record("other." + NAME, A, "10.0.0.1"),),
    ):
        assert plain.replies(question, Answer(records=found), ZONE, 512, (0,)) is None
    assert question.form.type == ANY
