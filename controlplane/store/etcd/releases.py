"""Releases of etcd that lose what they acknowledged. Pure.

Source: etcd's own warnings in the changelogs of 3.5.3 (members that are killed under load may come to differ, in 3.5.0
to 3.5.2) and of its post-mortem on the data inconsistency of 3.5.
"""

from __future__ import annotations

import re

_DIVERGING = ((3, 5, 0), (3, 5, 2))
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def warning(version: str) -> str:
    """What whoever runs this release should be told; "" where nothing is known against it, or it names no release."""
    found = _NUMBERS.match(version)
    if found is None:
        return ""
    first, last = _DIVERGING
    if not first <= tuple(int(number) for number in found.groups()) <= last:
        return ""
    return (
        f"etcd {version} may lose acknowledged writes when a member is killed under load, and give revisions out twice;"
        " use 3.5.3 or later, or 3.4"
    )
