"""The words of the CNI specification: errors with their codes, versions, results.

Inside this package a result is a dict in the form of specification 1.1; `to_version` writes older forms.
Source: https://www.cni.dev/docs/spec/ (sections 2, 5 and the error table).
"""

from __future__ import annotations

import json
from typing import Any

Result = dict[str, Any]

LATEST = "1.1.0"
SUPPORTED = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", LATEST)

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
INVALID_NETNS = 8
TRY_AGAIN_LATER = 11
PLUGIN_NOT_AVAILABLE = 50
LIMITED_CONNECTIVITY = 51
INTERNAL = 999


class CniError(Exception):
    """A failure as the specification writes it. Codes from 100 on are a plugin's own."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(f"{message}; {details}" if details else message)
        self.code = code
        self.message = message
        self.details = details

    def to_json(self, version: str) -> bytes:
        body = {"cniVersion": version, "code": self.code, "msg": self.message}
        if self.details:
            body["details"] = self.details
        return json.dumps(body).encode()


def version_key(version: str) -> tuple[int, ...]:
    """Ordering of versions; CniError(6) for what is not a version."""
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        raise CniError(DECODING_FAILURE, f"cniVersion {version!r} is not a version") from None


def at_least(version: str, wanted: str) -> bool:
    return version_key(version) >= version_key(wanted)


def to_version(result: Result, version: str) -> Result:
    """The result as `version` of the specification writes it: new keys dropped, the IP version named before
    1.0.
    """
    written: Result = {"cniVersion": version}
    interfaces = result.get("interfaces")
    if interfaces:
        # The newest has mtu, socketPath and pciID, and what a plugin before ours adds is not ours to drop.
        known = None if at_least(version, "1.1.0") else ("name", "mac", "sandbox")
        written["interfaces"] = [{k: i[k] for k in known or i if i.get(k)} for i in interfaces]
    if result.get("ips"):
        written["ips"] = [_ip_of(ip, version) for ip in result["ips"]]
    if result.get("routes"):
        newer = at_least(version, "1.1.0")
        written["routes"] = [r if newer else {k: r[k] for k in ("dst", "gw") if k in r} for r in result["routes"]]
    written["dns"] = result.get("dns") or {}
    return written


def from_version(result: Result) -> Result:
    """A result of any supported version in the form this package works with."""
    ips = [{k: v for k, v in ip.items() if k != "version"} for ip in result.get("ips") or []]
    return {
        "interfaces": list(result.get("interfaces") or []),
        "ips": ips,
        "routes": list(result.get("routes") or []),
        "dns": result.get("dns") or {},
    }


def _ip_of(ip: dict[str, Any], version: str) -> dict[str, Any]:
    if at_least(version, "1.0.0"):
        return ip
    return {"version": "6" if ":" in ip["address"] else "4", **ip}
