"""Which claims this node has prepared, for whom and with what devices: kept over a restart in one file.

A claim is written before its drivers are asked, so that whoever comes after a crash knows what may be prepared. Whether
it is, is not kept: after a reboot what drivers made is gone, and preparing again is theirs to take.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agent.devices.messages import ClaimRef, Device

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(namespace, name) of a ResourceClaim."""


@dataclass
class Held:
    """A claim that pods of this node use."""

    ref: ClaimRef
    pods: set[str] = field(default_factory=set)
    """Their uids."""
    drivers: dict[str, tuple[Device, ...]] = field(default_factory=dict)
    """Every driver with a part in its allocation, and the devices it prepared."""
    prepared: bool = False

    @property
    def key(self) -> Key:
        return self.ref.namespace, self.ref.name

    def cdi(self, request: str) -> Iterable[str]:
        """What a container gets that asks for one request of it; "": for all."""
        for _, device in self.devices(request):
            yield from device.cdi

    def devices(self, request: str) -> Iterator[tuple[str, Device]]:
        """Those that are prepared for one request, "": for all; each with its driver."""
        for driver, devices in self.drivers.items():
            for device in devices:
                # A request with alternatives is asked for by its own name, and prepared by the alternative's.
                if not request or not device.requests or request in _asked(device.requests):
                    yield driver, device


def _asked(requests: Iterable[str]) -> set[str]:
    return {name for each in requests for name in (each, each.partition("/")[0])}


class StateError(Exception):
    """The file is damaged; the text says what to do."""


def load(file: Path) -> dict[Key, Held]:
    """What an agent before this one held. Raises StateError, OSError."""
    try:
        told = orjson.loads(file.read_bytes())
        held = [_held(each) for each in told["claims"]]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{file} is damaged: drain the node and remove it ({error})") from error
    return {each.key: each for each in held}


def dump(held: Iterable[Held]) -> bytes:
    """As `load` reads it."""
    claims = [
        {
            **dataclasses.asdict(each.ref),
            "pods": sorted(each.pods),
            "drivers": {name: [dataclasses.asdict(d) for d in found] for name, found in each.drivers.items()},
        }
        for each in held
    ]
    return orjson.dumps({"claims": claims})


def _held(told: Mapping[str, Any]) -> Held:
    ref = ClaimRef(told["namespace"], told["uid"], told["name"])
    drivers = {name: tuple(_device(each) for each in found) for name, found in told["drivers"].items()}
    return Held(ref, set(told["pods"]), drivers)


def _device(told: Mapping[str, Any]) -> Device:
    requests, cdi = tuple(told["requests"]), tuple(told["cdi"])
    return Device(told["pool"], told["name"], requests, cdi, told["share"])
