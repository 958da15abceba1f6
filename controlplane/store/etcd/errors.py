"""What a failed call to etcd means. Pure.

Source: etcd's published error texts (api/v3rpc/rpctypes) and gRPC's status codes.
"""

from __future__ import annotations

import enum

from controlplane.store.model import Full, StoreError, Unavailable

NO_SPACE = "database space exceeded"


class Verdict(enum.Enum):
    """What to do after a failure."""

    ELSEWHERE = "another member may answer"
    COMPACTED = "the revision is gone"
    FULL = "no space"
    REFUSED = "asking again changes nothing"


class Compacted(StoreError):
    """The revision that was asked for is kept no more."""


# Codes under which an answer from elsewhere, or later, may be another.
_ELSEWHERE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "INTERNAL", "UNKNOWN", "FAILED_PRECONDITION")
# Said before anything was proposed to the members.
_NOT_SENT = (
    "no leader",
    "too many requests",
    "failed to connect",
    "connection refused",
    "not ready",
    "name resolution",
)


def judged(code: str, text: str) -> Verdict:
    """code: the gRPC status by name."""
    if "has been compacted" in text:
        return Verdict.COMPACTED
    if NO_SPACE in text:
        return Verdict.FULL
    if code in _ELSEWHERE or "too many requests" in text or "future revision" in text:
        return Verdict.ELSEWHERE
    return Verdict.REFUSED


def was_sent(code: str, text: str) -> bool:
    """Whether a write that failed so may have been taken."""
    low = text.lower()
    return not (code == "UNAVAILABLE" and any(said in low for said in _NOT_SENT)) and "too many requests" not in low


def translated(code: str, text: str, server: str) -> StoreError:
    """The store's error for a failure, with what the user can do."""
    verdict = judged(code, text)
    if verdict is Verdict.COMPACTED:
        return Compacted(text)
    if verdict is Verdict.FULL:
        return Full(f"etcd at {server} is full ({text}); compact and defragment it, then `etcdctl alarm disarm`")
    if verdict is Verdict.ELSEWHERE:
        return Unavailable(f"etcd at {server}: {text or code}", was_sent(code, text))
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return StoreError(f"etcd at {server} refuses this server: {text}; look at etcd_cert_file and etcd's users")
    return StoreError(f"etcd at {server}: {text or code}")
