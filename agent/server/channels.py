"""Kubernetes' channels over WebSocket: one byte names the channel of a message; pure.

Source: https://kubernetes.io/docs/reference/using-api/ , KEP-4006. v5 adds the close message (255,
channel), which v4 lacks: a v4 client cannot end its input without ending the session.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
# In order of preference.
PROTOCOLS = (V5, V4, V4_BASE64)

# SPDY stream types by channel.
STREAM_TYPES = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", ERROR: "error", RESIZE: "resize"}


class ChannelError(Exception):
    """The client broke the framing."""


@dataclass(frozen=True)
class Message:
    """`data` on `channel`; `closed` says that the channel ends instead."""

    channel: int
    data: bytes = b""
    closed: bool = False


def decode(protocol: str, payload: bytes | str) -> Message:
    """A client's message; raises ChannelError."""
    if protocol == V4_BASE64:
        return _decode_text(payload)
    if isinstance(payload, str) or not payload:
        raise ChannelError("a message must be binary and start with its channel")
    channel = payload[0]
    if channel == CLOSE and protocol == V5:
        if len(payload) != 2:
            raise ChannelError("a close message is two bytes")
        return Message(payload[1], closed=True)
    if channel not in STREAM_TYPES:
        raise ChannelError(f"unknown channel {channel}")
    return Message(channel, payload[1:])


def encode(protocol: str, channel: int, data: bytes) -> bytes | str:
    """A message to the client."""
    if protocol == V4_BASE64:
        return str(channel) + base64.b64encode(data).decode()
    return bytes((channel,)) + data


def _decode_text(payload: bytes | str) -> Message:
    text = payload if isinstance(payload, str) else payload.decode("ascii", "replace")
    if not text or not text[0].isdigit() or int(text[0]) not in STREAM_TYPES:
        raise ChannelError("a message must start with the digit of its channel")
    try:
        return Message(int(text[0]), base64.b64decode(text[1:], validate=True))
    except binascii.Error as error:
        raise ChannelError(str(error)) from error
