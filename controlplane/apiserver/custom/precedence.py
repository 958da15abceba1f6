"""Which version comes first: v2, v1, v1beta2, v1beta1, v1alpha1, and then any other by name. Pure.

Source: "Version priority" in Kubernetes' reference of versions in CustomResourceDefinitions.
"""

from __future__ import annotations

import re

_KUBE = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
_STABLE, _BETA, _ALPHA, _OTHER = range(4)


def rank(version: str) -> tuple[int, int, int, str]:
    """Sorts versions in the order of preference, the first the most wanted."""
    found = _KUBE.fullmatch(version)
    if found is None:
        return _OTHER, 0, 0, version
    level = {None: _STABLE, "beta": _BETA, "alpha": _ALPHA}[found[2]]
    return level, -int(found[1]), -int(found[3] or 0), ""
