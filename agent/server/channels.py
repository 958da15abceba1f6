"""Kubernetes' channels over WebSocket: one byte names the channel of a message; pure.

Source: https://kubernetes.io/docs/reference/using-api/ , KEP-4006. v5 adds the close message (255, channel), which all
before it lack: their clients cannot end their input without ending the session. Before v4 the error channel carries
text, and nothing when all went well. What a client sends may be a text or a binary message: its bytes count.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
V1 = "channel.k8s.io"
V1_BASE64 = "base64.channel.k8s.io"
PROTOCOLS = (V5, V4, V4_BASE64, V1, V1_BASE64)
# Without a subprotocol the first version is spoken.
STATUS_AS_TEXT = frozenset((V1, V1_BASE64))
_BASE64 = frozenset((V4_BASE64, V1_BASE64))

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


def decode(protocol: str, payload: bytes | str) -> Message | None:
    """A client's message; None for one to be passed over: empty, or for a channel that there is not.

    Raises ChannelError for what the session cannot go on after.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    if not data:
        return None
    if protocol == V5 and data[0] == CLOSE:
        if len(data) != 2 or data[1] not in STREAM_TYPES:
            raise ChannelError("a close message is two bytes, the second of which is a channel")
        return Message(data[1], closed=True)
    channel = data[0] - ord("0") if protocol in _BASE64 else data[0]
    if channel not in STREAM_TYPES:
        return None
    if protocol not in _BASE64:
        return Message(channel, data[1:])
    try:
        return Message(channel, base64.b64decode(data[1:], validate=True))
    except binascii.Error:
        return None


def encode(protocol: str, channel: int, data: bytes) -> bytes | str:
    """A message to the client."""
    if protocol in _BASE64:
        return str(channel) + base64.b64encode(data).decode()
    return bytes((channel,)) + data
