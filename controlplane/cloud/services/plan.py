"""What a Service needs of a cloud, and which nodes may stand behind its load balancer. Pure.

Source: the service controller of upstream's cloud-provider; KEP-980 (finalizer), KEP-1959 (loadBalancerClass), KEP-3458
(a node that is not ready stays behind the load balancer, whose own health checks know better).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from apimachinery import objects
from apimachinery.objects import Obj, is_deleting, labels, name, uid

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
# Of a Service, what a load balancer depends on; ports are compared in full, families by their number.
_SPEC = (
    "ports",
    "sessionAffinity",
    "sessionAffinityConfig",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
)


class Move(enum.Enum):
    ENSURE = "ensure"
    DELETE = "delete"


def wants(service: Obj) -> bool:
    """Whether a load balancer is ours to make: one with a class is somebody else's."""
    spec = service.get("spec") or {}
    return spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") is None


def needs_cleanup(service: Obj) -> bool:
    """Whether what was made has to go: the Service goes, or is of another type now."""
    if FINALIZER not in (service["metadata"].get("finalizers") or ()):
        return False
    return is_deleting(service) or (service.get("spec") or {}).get("type") != "LoadBalancer"


def move(service: Obj) -> Move:
    """What to do about a Service that is looked at (`concerns`)."""
    return Move.ENSURE if wants(service) and not is_deleting(service) else Move.DELETE


def concerns(old: Obj | None, new: Obj) -> bool:
    """Whether a Service that is new, or has changed, has to be looked at."""
    if needs_cleanup(new):
        return True
    if old is None or uid(old) != uid(new):
        return wants(new)
    if wants(old) != wants(new):
        return True
    return wants(new) and _asked(old) != _asked(new)


def _asked(service: Obj) -> tuple[Any, ...]:
    spec = service.get("spec") or {}
    families = len(spec.get("ipFamilies") or ())
    return (*(spec.get(field) for field in _SPEC), families, dict(objects.annotations(service)))


def changes(old: Obj | None, new: Obj) -> Iterator[tuple[str, str]]:
    """What of a Service that wants a load balancer is worth an Event: reason and text."""
    if old is None or uid(old) != uid(new):
        return
    was, now = old.get("spec") or {}, new.get("spec") or {}
    if wants(old) != wants(new):
        yield "Type", f"{was.get('type')} -> {now.get('type')}"
    if not wants(new):
        return
    for reason, field in (
        ("LoadBalancerSourceRanges", "loadBalancerSourceRanges"),
        ("LoadbalancerIP", "loadBalancerIP"),
        ("ExternalTrafficPolicy", "externalTrafficPolicy"),
        ("HealthCheckNodePort", "healthCheckNodePort"),
    ):
        if wants(old) and was.get(field) != now.get(field):
            yield reason, f"{_shown(was.get(field))} -> {_shown(now.get(field))}"


def _shown(value: object) -> str:
    return f"[{' '.join(map(str, value))}]" if isinstance(value, list) else str(value if value is not None else "")


def usable(nodes: Iterable[Obj]) -> list[Obj]:
    """The nodes that may be behind a load balancer, by name; whether they are ready is the health checks' to say."""
    return sorted((node for node in nodes if _is_usable(node)), key=name)


def _is_usable(node: Obj) -> bool:
    taints = (node.get("spec") or {}).get("taints") or ()
    going = is_deleting(node) or any(taint.get("key") == TO_BE_DELETED for taint in taints)
    return not going and is_included(node)


def is_included(node: Obj) -> bool:
    """Whether the node does not ask to be left out."""
    excluded = labels(node).get(EXCLUDED)
    return excluded is None or excluded in _FALSE


def hosts(nodes: Iterable[Obj]) -> Mapping[str, str]:
    """What of the nodes a load balancer knows: name → providerID."""
    return {name(node): (node.get("spec") or {}).get("providerID") or "" for node in nodes}


def moves_hosts(old: Obj | None, new: Obj | None) -> bool:
    """Whether a change of a node may change what stands behind load balancers."""
    if old is None or new is None or is_deleting(old) != is_deleting(new):
        return True
    return is_included(old) != is_included(new) or hosts([old]) != hosts([new])


def with_finalizer(service: Obj, wanted: bool) -> list[str] | None:
    """The finalizers as they should be; None where they are."""
    held: list[str] = list(service["metadata"].get("finalizers") or ())
    if (FINALIZER in held) == wanted:
        return None
    return [*held, FINALIZER] if wanted else [each for each in held if each != FINALIZER]
