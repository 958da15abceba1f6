"""SPDY frames and WebSocket channels."""

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.server import channels, spdy

IDS = st.integers(1, 2**31 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
HEADERS = st.dictionaries(TEXT.map(str.lower).filter(lambda t: t == t.lower()), TEXT, max_size=4)
FRAMES = st.one_of(
    st.builds(spdy.SynStream, IDS, HEADERS, st.booleans(), IDS, st.integers(0, 7)),
    st.builds(spdy.SynReply, IDS, HEADERS, st.booleans()),
    st.builds(spdy.Headers, IDS, HEADERS, st.booleans()),
    st.builds(spdy.Data, IDS, st.binary(max_size=50), st.booleans()),
    st.builds(spdy.RstStream, IDS, st.integers(0, 10)),
    st.builds(spdy.Ping, st.integers(0, 2**32 - 1)),
    st.builds(spdy.GoAway, IDS, st.integers(0, 2)),
    st.builds(spdy.WindowUpdate, IDS, IDS),
    st.builds(spdy.Settings, st.lists(st.tuples(*[st.integers(0, 255)] * 3), max_size=3).map(tuple)),
)


@given(st.lists(FRAMES, max_size=8), st.integers(1, 40))
def test_frames_survive_the_wire_however_it_is_cut(frames: list[Any], size: int) -> None:
    sender, receiver = spdy.Codec(), spdy.Codec()
    wire = b"".join(sender.encode(frame) for frame in frames)
    got = [frame for start in range(0, len(wire), size) for frame in receiver.feed(wire[start : start + size])]
    assert got == frames


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    # The Adler-32 that every SPDY/3 header stream names.
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_a_frame_as_another_implementation_writes_it() -> None:
    ping = bytes.fromhex("800300060000000400000001")
    assert list(spdy.Codec().feed(ping)) == [spdy.Ping(1)]
    assert spdy.Codec().encode(spdy.Ping(1)) == ping
    assert spdy.Codec().encode(spdy.Data(5, b"hi", fin=True)) == bytes.fromhex("0000000501000002") + b"hi"


def test_data_beyond_a_frame_is_cut_and_only_its_end_ends_the_stream() -> None:
    big = b"x" * (0xFFFFFF + 10)
    wire = spdy.Codec().encode(spdy.Data(1, big, fin=True))
    first, second = spdy.Codec().feed(wire)
    assert isinstance(first, spdy.Data)
    assert isinstance(second, spdy.Data)
    assert (first.fin, second.fin, first.data + second.data == big) == (False, True, True)


@pytest.mark.parametrize(
    "wire",
    [
        bytes.fromhex("800200060000000400000001"),  # SPDY/2
        bytes.fromhex("800300010000000400000001"),  # SYN_STREAM too short
        bytes.fromhex("800300020000000600000001ffff"),  # a header block that is no zlib
    ],
)
def test_broken_frames_are_errors(wire: bytes) -> None:
    with pytest.raises(spdy.SpdyError):
        list(spdy.Codec().feed(wire))


def test_unknown_control_frames_are_passed_over() -> None:
    assert list(spdy.Codec().feed(bytes.fromhex("8003000b00000000800300060000000400000002"))) == [spdy.Ping(2)]


@pytest.mark.parametrize("protocol", channels.PROTOCOLS)
@given(st.sampled_from(sorted(channels.STREAM_TYPES)), st.binary(max_size=30))
def test_channel_messages_survive(protocol: str, channel: int, data: bytes) -> None:
    assert channels.decode(protocol, channels.encode(protocol, channel, data)) == channels.Message(channel, data)


def test_only_v5_can_close_a_channel() -> None:
    assert channels.decode(channels.V5, b"\xff\x00") == channels.Message(0, closed=True)
    assert channels.decode(channels.V4, b"\xff\x00") is None


@pytest.mark.parametrize("payload", [b"\xff", b"\xff\x00\x00", b"\xff\x09"])
def test_broken_closings_are_errors(payload: bytes) -> None:
    with pytest.raises(channels.ChannelError):
        channels.decode(channels.V5, payload)


@pytest.mark.parametrize(
    ("protocol", "payload"),
    [
        (channels.V5, b""),
        (channels.V5, ""),
        (channels.V5, b"\x07x"),
        (channels.V4, "text"),
        (channels.V1_BASE64, "0%%"),
    ],
)
def test_what_means_nothing_is_passed_over(protocol: str, payload: bytes | str) -> None:
    assert channels.decode(protocol, payload) is None
