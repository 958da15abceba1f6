"""The messages of a plugin's registration and of a DRA driver, as bytes. Pure.

Field numbers: upstream's `pluginregistration/v1/api.proto` and `dra/v1/api.proto` (v1beta1 has the same).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.cri.wire import Fields, bytes_of, encode_bytes, encode_text, fields, text_of, texts_of


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
    found = list(fields(data))
    return PluginInfo(text_of(found, 1), text_of(found, 2), text_of(found, 3), texts_of(found, 4))


def registration_status(error: str) -> bytes:
    """A NotifyRegistrationStatus request; registered where there is no error."""
    return encode_text(2, error) if error else b"\x08\x01"


def claims_request(claims: Iterable[ClaimRef]) -> bytes:
    """A NodePrepareResources or NodeUnprepareResources request."""
    return b"".join(encode_bytes(1, _claim(claim)) for claim in claims)


def prepared(data: bytes) -> dict[str, Outcome]:
    """Of a NodePrepareResources answer, by uid. Raises WireError."""
    return {
        uid: Outcome(tuple(_device(each) for each in bytes_of(found, 1)), text_of(found, 2))
        for uid, found in _entries(data)
    }


def unprepared(data: bytes) -> dict[str, Outcome]:
    """Of a NodeUnprepareResources answer, by uid. Raises WireError."""
    return {uid: Outcome(error=text_of(found, 1)) for uid, found in _entries(data)}


def _entries(data: bytes) -> Iterator[tuple[str, Fields]]:
    """The map of claims: keys and what lies in each message."""
    for entry in bytes_of(fields(data), 1):
        pair = list(fields(entry))
        yield text_of(pair, 1), list(fields(b"".join(bytes_of(pair, 2))))


def _claim(claim: ClaimRef) -> bytes:
    return encode_text(1, claim.namespace) + encode_text(2, claim.uid) + encode_text(3, claim.name)


def _device(data: bytes) -> Device:
    found = list(fields(data))
    return Device(text_of(found, 2), text_of(found, 3), texts_of(found, 1), texts_of(found, 4), text_of(found, 5))
