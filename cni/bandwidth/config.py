"""The bandwidth plugin's configuration, checked. Pure. Source: https://www.cni.dev/plugins/current/meta/bandwidth/"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.kit.netlink.tc import Bucket
from cni import capabilities, types
from cni.skel import Request
from cni.types import CniError

# What may wait in a queue: as much as leaves in this time. The reference plugin's figure.
LATENCY_SECONDS = 0.025
# Settings of the reference plugin that would bound other packets than is said if they were ignored.
_UNSUPPORTED = ("shapedSubnets", "unshapedSubnets")
_KEYS = {"ingressrate", "ingressburst", "egressrate", "egressburst"}
_MOST_BYTES = (1 << 32) - 1


@dataclass(frozen=True)
class Bounds:
    """Of what the pod receives (`ingress`) and sends (`egress`); None: as much as there is."""

    ingress: Bucket | None
    egress: Bucket | None


def parse(request: Request) -> Bounds:
    """The configuration's bounds win over the runtime's (capability `bandwidth`), as the reference plugin has it: who
    runs the network bounds every pod, whatever the pod asks for.

    CniError(2) for settings this plugin lacks, CniError(6) and (7) for wrong ones.
    """
    capabilities.given(request, "bandwidth", {"bandwidth"})
    asked = request.section("runtimeConfig", "bandwidth")
    for key in _UNSUPPORTED:
        if asked.get(key) or request.config.get(key):
            raise CniError(types.UNSUPPORTED_FIELD, f"{key} is not supported by this plugin: it bounds every packet")
    # Go reads JSON whatever the case of its keys.
    own, plain = ({str(key).lower(): value for key, value in given.items()} for given in (request.config, asked))
    chosen = own if own.keys() & _KEYS else plain
    return Bounds(_bucket(chosen, "ingress"), _bucket(chosen, "egress"))


def _bucket(given: Mapping[str, Any], way: str) -> Bucket | None:
    """Rates are bits a second, bursts bits."""
    rate, burst = (_number(given, f"{way}{what}") for what in ("Rate", "Burst"))
    if not rate and not burst:
        return None
    if not rate or not burst:
        missing, there = ("Rate", "Burst") if burst else ("Burst", "Rate")
        text = f"if {way}{there} is set, {way}{missing} must be set, too"
        raise CniError(types.INVALID_CONFIG, text)
    if burst // 8 > _MOST_BYTES:
        raise CniError(types.INVALID_CONFIG, f"{way}Burst: {burst} bits are more than 4 GB")
    # A bucket that holds less than a byte lets nothing through.
    bytes_rate, size = max(rate // 8, 1), max(burst // 8, 1)
    return Bucket(bytes_rate, size, min(int(bytes_rate * LATENCY_SECONDS) + size, _MOST_BYTES))


def _number(given: Mapping[str, Any], key: str) -> int:
    value = given.get(key.lower(), 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CniError(types.DECODING_FAILURE, f"{key}: {value!r} is not a number of bits")
    if value < 0:
        raise CniError(types.INVALID_CONFIG, f"{key}: {value} is less than nothing")
    return value
