"""What is done with a certificate signing request. Pure.

Source: "Certificate Signing Requests" in the Kubernetes reference, its table of built-in signers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apimachinery.objects import Obj
from apimachinery.signing import Request
from apimachinery.timestamps import parse_time

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SHORTEST = timedelta(minutes=10)
# How long a request is kept that was decided on, and one that waits for a verdict or a certificate.
DECIDED, WAITING = timedelta(hours=1), timedelta(hours=24)
_NODES, _NODE = ("system:nodes",), "system:node:"


@dataclass(frozen=True)
class Permission:
    """What the requester must be allowed to create (a subresource of signing requests) to be approved unasked."""

    subresource: str
    message: str


_PERMISSIONS = (
    Permission("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    Permission("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
)


def kinds_of(csr: Obj) -> set[str]:
    """The types of its conditions, whatever their status: Approved, Denied, Failed."""
    return {str(c.get("type")) for c in (csr.get("status") or {}).get("conditions") or ()}


def certificate_of(csr: Obj) -> str:
    """The certificate it led to, base64; "" while there is none."""
    return str((csr.get("status") or {}).get("certificate") or "")


def permissions(csr: Obj, asked: Request) -> tuple[Permission, ...]:
    """Each of these alone is enough for an approval; none: a person decides."""
    spec = csr["spec"]
    if certificate_of(csr) or kinds_of(csr) & {"Approved", "Denied"}:
        return ()
    if spec.get("signerName") != KUBELET_CLIENT or _of_kubelet_client(asked, spec.get("usages") or ()):
        return ()
    return _PERMISSIONS if spec.get("username") == asked.user else _PERMISSIONS[1:]


def claims_of_serving(csr: Obj, asked: Request, nodes: Iterable[Obj]) -> str:
    """Why a node may not have this serving certificate unasked; "" where it asks for itself: its own name, and
    addresses that no other Node has. What is no such request at all has a reason, too.
    """
    spec = csr["spec"]
    if spec.get("signerName") != KUBELET_SERVING or kinds_of(csr) & {"Approved", "Denied"}:
        return "it is none, or decided"
    if spec.get("username") != asked.user or wrong_groups(spec):
        return "its author is not the node it names"
    if problem := _of_kubelet_serving(asked, spec.get("usages") or ()):
        return problem
    name = asked.user.removeprefix(_NODE)
    if set(asked.dns) - {name}:
        return f"it asks for names that are not {name}"
    for node in nodes:
        if node["metadata"]["name"] != name:
            theirs = {a.get("address") for a in (node.get("status") or {}).get("addresses") or ()}
            if taken := sorted(theirs & set(asked.ips)):
                return f"{', '.join(map(str, taken))} belongs to node {node['metadata']['name']}"
    return ""


def wrong_groups(spec: Obj) -> bool:
    """Whether its author is no node."""
    return not set(_NODES) <= set(spec.get("groups") or ())


def to_sign(csr: Obj) -> bool:
    """Whether it was approved, has no certificate yet, and is for one of our signers."""
    kinds = kinds_of(csr)
    ours = csr["spec"].get("signerName") in _DEMANDS
    return ours and "Approved" in kinds and not kinds & {"Denied", "Failed"} and not certificate_of(csr)


def complaint(csr: Obj, asked: Request) -> str:
    """Why its signer does not sign it; "" where it does."""
    spec = csr["spec"]
    return _DEMANDS[spec["signerName"]](asked, spec.get("usages") or ())


def life(csr: Obj, longest: timedelta) -> timedelta:
    """How long its certificate lives."""
    seconds = csr["spec"].get("expirationSeconds")
    return longest if seconds is None else min(max(timedelta(seconds=seconds), SHORTEST), longest)


def _of_kubelet(asked: Request, usages: Collection[str], purpose: str) -> str:
    required = ("digital signature", "key encipherment", purpose)
    # An ECDSA key enciphers no keys.
    if set(usages) not in (set(required), {"digital signature", purpose}):
        return f"usages did not match [{' '.join(sorted(required))}]"
    return "" if asked.user.startswith(_NODE) else "subject common name does not begin with system:node:"


def _of_kubelet_serving(asked: Request, usages: Collection[str]) -> str:
    checks = (
        (asked.groups != _NODES, "subject organization is not system:nodes"),
        (not asked.dns and not asked.ips, "DNS or IP subjectAltName is required"),
        (bool(asked.emails), "Email subjectAltNames are not allowed"),
        (bool(asked.uris), "URI subjectAltNames are not allowed"),
    )
    return next((text for wrong, text in checks if wrong), "") or _of_kubelet(asked, usages, "server auth")


def _of_kubelet_client(asked: Request, usages: Collection[str]) -> str:
    checks = (
        (asked.groups != _NODES, "subject organization is not system:nodes"),
        (bool(asked.dns), "DNS subjectAltNames are not allowed"),
        (bool(asked.emails), "Email subjectAltNames are not allowed"),
        (bool(asked.ips), "IP subjectAltNames are not allowed"),
        (bool(asked.uris), "URI subjectAltNames are not allowed"),
    )
    return next((text for wrong, text in checks if wrong), "") or _of_kubelet(asked, usages, "client auth")


def _of_client(asked: Request, usages: Collection[str]) -> str:
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


_DEMANDS: dict[str, Callable[[Request, Collection[str]], str]] = {
    CLIENT: _of_client,
    KUBELET_CLIENT: _of_kubelet_client,
    KUBELET_SERVING: _of_kubelet_serving,
    LEGACY: lambda _asked, _usages: "",
}


def is_over(csr: Obj, ends: datetime | None, now: datetime) -> bool:
    """Whether a request is of no use any more. `ends`: when the certificate that it led to does."""
    conditions = (csr.get("status") or {}).get("conditions") or ()
    if not conditions:
        return _older(csr["metadata"].get("creationTimestamp"), WAITING, now)
    issued = bool(certificate_of(csr))
    for condition in conditions:
        kind, told = condition.get("type"), condition.get("lastUpdateTime")
        if kind in ("Denied", "Failed") and _older(told, DECIDED, now):
            return True
        if kind == "Approved" and _older(told, DECIDED if issued else WAITING, now):
            return True
        if kind == "Approved" and ends is not None and now > ends:
            return True
    return False


def _older(stamp: str | None, limit: timedelta, now: datetime) -> bool:
    return bool(stamp) and now - parse_time(str(stamp)) > limit
