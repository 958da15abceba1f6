"""Leases."""

from __future__ import annotations

from controlplane.apiserver.rules.place import Row
from controlplane.apiserver.rules.words import more_than_nothing, not_negative

# Strategy and preferred holder are behind a gate that is off: nobody can set them.
RULES: dict[str, Row] = {
    "coordination.v1.Lease": ("spec",),
    "coordination.v1.LeaseSpec": (more_than_nothing("leaseDurationSeconds"), not_negative("leaseTransitions")),
}
