"""What a runtime hands over to a plugin because its configuration asks for it (`capabilities`), as `runtimeConfig`.

A plugin acts on each of them or refuses it by name: whoever asks for one is told that nobody hears it.

Source: https://www.cni.dev/docs/conventions/ (dynamic plugin specific fields).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cni import types
from cni.skel import Request
from cni.types import CniError

OF_ADDRESSES = frozenset({"ips", "ipRanges"})
OF_OTHERS = frozenset({"aliases", "bandwidth", "cgroupPath", "deviceID", "dns", "infinibandGUID", "portMappings"})
"""By convention; no plugin that gives addresses acts on them."""


def given(request: Request, plugin: str, known: Collection[str]) -> Mapping[str, Any]:
    """`runtimeConfig`; CniError(2) for what is asked for beside `known`, CniError(6) for what is no object."""
    asked = request.section("runtimeConfig")
    unknown = sorted(key for key, value in asked.items() if value and key not in known)
    if unknown:
        text = f"runtimeConfig: {plugin} does not act on {', '.join(unknown)}; its configuration asks for it by name"
        raise CniError(types.UNSUPPORTED_FIELD, text, "take it out of the plugin's capabilities")
    return asked
