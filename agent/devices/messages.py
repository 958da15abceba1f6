"""The messages of a plugin's registration and of a DRA driver, as bytes. Pure.

Field numbers: upstream's `pluginregistration/v1/api.proto` and `dra/v1/api.proto` (v1beta1 has the same).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.cri.wire import encode_bytes, encode_text, fields


@dataclass(frozen=True)
class PluginInfo:
    """What a plugin says of itself: `type` (DRAPlugin, …), name, services, endpoint ("": where it was asked)."""

    type: str
    name: str
    endpoint: str
    services: tuple[str, ...]


@dataclass(frozen=True)
class ClaimRef:
    """A ResourceClaim as drivers are told of it."""

    namespace: str
    uid: str
    name: str


@dataclass(frozen=True)
class Device:
    """One prepared device; `requests`: those of the claim it is for, none: all. `cdi`: what a container gets of it."""

    pool: str
    name: str
    requests: tuple[str, ...] = ()
    cdi: tuple[str, ...] = ()
    share: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one claim; an `error` makes devices mean nothing."""

    devices: tuple[Device, ...] = ()
    error: str = ""


def plugin_info(data: bytes) -> PluginInfo:
    """Of a GetInfo answer. Raises WireError."""
    found = _all(data)
    return PluginInfo(_text(found, 1), _text(found, 2), _text(found, 3), _texts(found, 4))


def registration_status(error: str) -> bytes:
    """A NotifyRegistrationStatus request; registered where there is no error."""
    return encode_text(2, error) if error else b"\x08\x01"


def claims_request(claims: Iterable[ClaimRef]) -> bytes:
    """A NodePrepareResources or NodeUnprepareResources request."""
    return b"".join(encode_bytes(1, _claim(claim)) for claim in claims)


def prepared(data: bytes) -> dict[str, Outcome]:
    """Of a NodePrepareResources answer, by uid. Raises WireError."""
    return {
        uid: Outcome(tuple(_device(each) for each in _bytes(found, 1)), _text(found, 2))
        for uid, found in _entries(data)
    }


def unprepared(data: bytes) -> dict[str, Outcome]:
    """Of a NodeUnprepareResources answer, by uid. Raises WireError."""
    return {uid: Outcome(error=_text(found, 1)) for uid, found in _entries(data)}


_Fields = list[tuple[int, int | bytes]]


def _entries(data: bytes) -> Iterator[tuple[str, _Fields]]:
    """The map of claims: keys and what lies in each message."""
    for entry in _bytes(_all(data), 1):
        pair = _all(entry)
        yield _text(pair, 1), _all(b"".join(_bytes(pair, 2)))


def _claim(claim: ClaimRef) -> bytes:
    return encode_text(1, claim.namespace) + encode_text(2, claim.uid) + encode_text(3, claim.name)


def _device(data: bytes) -> Device:
    found = _all(data)
    return Device(_text(found, 2), _text(found, 3), _texts(found, 1), _texts(found, 4), _text(found, 5))


def _all(data: bytes) -> _Fields:
    return list(fields(data))


def _bytes(found: _Fields, number: int) -> list[bytes]:
    return [value for which, value in found if which == number and isinstance(value, bytes)]


def _texts(found: _Fields, number: int) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in _bytes(found, number))


def _text(found: _Fields, number: int) -> str:
    return (_texts(found, number) or ("",))[-1]
