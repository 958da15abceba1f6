"""The fields of a Service that hang together: what its writer need not repeat, what goes with its type, what it asks
of the pools. Pure.

Upstream fills in and asks the pools before it lets go of what another type has no use for, and validates last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import errors
from apimachinery.objects import Obj

_WITH_PORTS = ("NodePort", "LoadBalancer")


def has_address(spec: Obj) -> bool:
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"


def is_checked(spec: Obj) -> bool:
    """Whether a load balancer asks nodes for the Service's health, at a port of its own."""
    return bool(spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


def reachable(spec: Obj) -> bool:
    """Whether there is a way in from outside of the cluster."""
    kind = spec.get("type")
    return kind in _WITH_PORTS or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


# --- what need not be repeated ---


def fill_new(spec: Obj) -> None:
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def fill_changed(spec: Obj, was: Obj) -> None:
    """Addresses and ports that were given before, where the change says nothing of them."""
    before = list(was.get("clusterIPs") or ())
    if "ExternalName" not in (spec.get("type"), was.get("type")):
        if not spec.get("clusterIP") and was.get("clusterIP"):
            spec["clusterIP"] = was["clusterIP"]
        if not spec.get("clusterIPs") and before:
            spec["clusterIPs"] = list(before)
    _keep_node_ports(spec, was)
    if is_checked(spec) and is_checked(was) and not spec.get("healthCheckNodePort") and was.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = was["healthCheckNodePort"]
    _follow(spec, was, before)


def _follow(spec: Obj, was: Obj, before: list[str]) -> None:
    """Whoever knows only one of clusterIP and clusterIPs means both."""
    first, known = spec.get("clusterIP") or "", was.get("clusterIP") or ""
    listed = list(spec.get("clusterIPs") or ())
    if before and not listed and first == known:
        listed = before
    if first != known and listed == before:
        listed = [first] if first else []
    if listed:
        spec["clusterIPs"] = listed
    else:
        spec.pop("clusterIPs", None)


def _keep_node_ports(spec: Obj, was: Obj) -> None:
    """By the names of the ports, and none that serves another port by now."""
    if not (_all_get_ports(spec) and _all_get_ports(was)):
        return
    standing = {port.get("name") or "": port.get("nodePort") for port in was.get("ports") or ()}
    used = set(_numbers(was)) & set(_numbers(spec))
    for port in spec.get("ports") or ():
        kept = standing.get(port.get("name") or "")
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept


def _all_get_ports(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def _numbers(spec: Obj) -> list[int]:
    return [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]


# --- what goes with a type ---


def drop(spec: Obj, was: Obj) -> None:
    """Take out what the Service's type has no use for, where it stood before and nobody has touched it."""
    kind, before = spec.get("type"), was.get("type")
    if kind == "ExternalName" != before:
        if all(spec.get(name) == was.get(name) for name in ("clusterIP", "clusterIPs")):
            _forget(spec, was, "clusterIP", "clusterIPs")
        _forget(spec, was, "ipFamilies", "ipFamilyPolicy")
    if before in _WITH_PORTS and kind not in _WITH_PORTS and set(_numbers(spec)) <= set(_numbers(was)):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if is_checked(was) and not is_checked(spec):
        _forget(spec, was, "healthCheckNodePort")
    if before == "LoadBalancer" != kind:
        _forget(spec, was, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if reachable(was) and not reachable(spec):
        _forget(spec, was, "externalTrafficPolicy")


def drop_unread(spec: Obj) -> None:
    """What upstream stores and never shows: a policy of traffic that does not come by."""
    if spec.get("type") == "ExternalName" and spec.get("internalTrafficPolicy") in ("Cluster", "Local"):
        del spec["internalTrafficPolicy"]


def _forget(spec: Obj, was: Obj, *names: str) -> None:
    """Take out the fields that nobody has touched."""
    for name in names:
        if spec.get(name) == was.get(name):
            spec.pop(name, None)


# --- what is asked of the pools ---


def asked_addresses(spec: Obj, was: Obj | None) -> Sequence[str]:
    """The addresses that a Service names and does not have yet."""
    listed: list[str] = spec.get("clusterIPs") or []
    if not has_address(spec):
        return ()
    if was is None or was.get("type") == "ExternalName":
        return listed
    if has_address(was) and len(was.get("ipFamilies") or ()) == 1 and len(spec.get("ipFamilies") or ()) == 2:
        return listed[1:2]
    return ()


def give_ports(spec: Obj, was: Obj | None, take: Callable[[int, int], None], choose: Callable[[], int]) -> None:
    """Write node ports into a Service's ports: take(index, number) is asked for those that are named, choose() for
    the others. Both may raise."""
    if spec.get("type") not in _WITH_PORTS:
        return
    ports = [
        (index, port)
        for index, port in enumerate(spec.get("ports") or ())
        if port.get("nodePort") or _all_get_ports(spec)
    ]
    if was is None:
        _give_new(spec, ports, take, choose)
    else:
        _give_changed(ports, set(_numbers(was)), take, choose)


Ports = list[tuple[int, Obj]]


def _give_new(spec: Obj, ports: Ports, take: Callable[[int, int], None], choose: Callable[[], int]) -> None:
    """The same port under two protocols gets the same node port."""
    given: dict[int, int] = {}
    for index, port in ports:
        number = given.get(port.get("port") or 0)
        if number is None:
            alike = (other.get("nodePort") for other in spec["ports"] if other.get("port") == port.get("port"))
            number = next(filter(None, alike), 0)
            if number:
                take(index, number)
            else:
                number = choose()
            given[port.get("port") or 0] = port["nodePort"] = number
        elif not port.get("nodePort"):
            port["nodePort"] = number
        elif port["nodePort"] != number:
            take(index, port["nodePort"])


def _give_changed(ports: Ports, known: set[int], take: Callable[[int, int], None], choose: Callable[[], int]) -> None:
    """A number that the Service had stays its own, whichever of its ports it serves now."""
    had: set[tuple[str, int]] = set()
    for index, port in ports:
        if not port.get("nodePort"):
            port["nodePort"] = choose()
        elif port["nodePort"] not in known:
            take(index, port["nodePort"])
            known = known | {port["nodePort"]}
        key = (port.get("protocol") or "", port["nodePort"])
        if key in had:
            raise errors.ApiError(f"duplicate nodePort: {{{key[0]} {key[1]}}}")
        had.add(key)
