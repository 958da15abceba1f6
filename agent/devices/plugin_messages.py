"""The messages of device plugins (v1beta1), as bytes. Pure.

Field numbers: upstream's `deviceplugin/v1beta1/api.proto`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.cri.wire import bytes_of, encode_bytes, encode_number, encode_text, fields, text_of, texts_of

HEALTHY = "Healthy"
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What a plugin wants to be asked."""

    pre_start: bool = False
    preferred: bool = False


@dataclass(frozen=True)
class Registration:
    version: str
    endpoint: str
    """A socket's name in the directory of plugins."""
    resource: str
    options: Options


@dataclass(frozen=True)
class Offered:
    """What a plugin says of one of its devices; `nodes`: the NUMA nodes that it is near."""

    healthy: bool
    nodes: tuple[int, ...] = ()


UNTOLD = Offered(True)


@dataclass(frozen=True)
class Given:
    """What a container gets with its devices. `mounts`: (inside, on the node, read-only); `nodes`: (inside, on the
    node, permissions)."""

    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[tuple[str, str, bool], ...] = ()
    nodes: tuple[tuple[str, str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    cdi: tuple[str, ...] = ()

    def __add__(self, other: Given) -> Given:
        """Of two resources, what the first says of a name."""
        return Given(
            tuple({**dict(other.env), **dict(self.env)}.items()),
            tuple({mount[0]: mount for mount in (*other.mounts, *self.mounts)}.values()),
            tuple({node[0]: node for node in (*other.nodes, *self.nodes)}.values()),
            tuple({**dict(other.annotations), **dict(self.annotations)}.items()),
            tuple(dict.fromkeys((*self.cdi, *other.cdi))),
        )


def registration(data: bytes) -> Registration:
    """A RegisterRequest. Raises WireError."""
    found = list(fields(data))
    return Registration(text_of(found, 1), text_of(found, 2), text_of(found, 3), options(b"".join(bytes_of(found, 4))))


def options(data: bytes) -> Options:
    """DevicePluginOptions. Raises WireError."""
    found = dict(fields(data))
    return Options(bool(found.get(1)), bool(found.get(2)))


def devices(data: bytes) -> dict[str, Offered]:
    """Of a ListAndWatchResponse: every device by id. Raises WireError."""
    listed = (list(fields(each)) for each in bytes_of(fields(data), 1))
    return {text_of(found, 1): Offered(text_of(found, 2) == HEALTHY, _near(bytes_of(found, 3))) for found in listed}


def _near(topology: Sequence[bytes]) -> tuple[int, ...]:
    """A node whose number is not said is node 0."""
    nodes = (dict(fields(node)).get(1, 0) for each in topology for node in bytes_of(fields(each), 1))
    return tuple(node for node in nodes if isinstance(node, int))


def allocate_request(ids: Sequence[str]) -> bytes:
    """For one container."""
    return encode_bytes(1, _ids(ids))


def pre_start_request(ids: Sequence[str]) -> bytes:
    return _ids(ids)


def preferred_request(available: Sequence[str], included: Sequence[str], size: int) -> bytes:
    """For one container, which is to have `size` devices, `included` among them."""
    listed = b"".join(encode_text(1, each) for each in available) + b"".join(encode_text(2, each) for each in included)
    return encode_bytes(1, listed + encode_number(3, size))


def preferred(data: bytes) -> tuple[str, ...]:
    """The devices a plugin would have a container get. Raises WireError."""
    return tuple(each for answer in bytes_of(fields(data), 1) for each in texts_of(fields(answer), 1))


def allocated(data: bytes) -> Given | None:
    """What one container gets; None where the plugin answered for none. Raises WireError."""
    answers = bytes_of(fields(data), 1)
    if not answers:
        return None
    found = list(fields(answers[0]))
    mounts = [list(fields(each)) for each in bytes_of(found, 2)]
    nodes = [list(fields(each)) for each in bytes_of(found, 3)]
    return Given(
        _map(bytes_of(found, 1)),
        tuple((text_of(m, 1), text_of(m, 2), bool(dict(m).get(3))) for m in mounts),
        tuple((text_of(n, 1), text_of(n, 2), text_of(n, 3)) for n in nodes),
        _map(bytes_of(found, 4)),
        tuple(text_of(fields(each), 1) for each in bytes_of(found, 5)),
    )


def _ids(ids: Sequence[str]) -> bytes:
    return b"".join(encode_text(1, each) for each in ids)


def _map(entries: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    pairs = (list(fields(entry)) for entry in entries)
    return tuple((text_of(pair, 1), text_of(pair, 2)) for pair in pairs)
