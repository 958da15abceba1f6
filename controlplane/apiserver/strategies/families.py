"""IP families of a Service: which it has, from what was asked for, what it had and what the cluster gives. Pure.

Source: https://kubernetes.io/docs/concepts/services-networking/dual-stack/ , KEP-563; order and words as upstream's
allocator has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apimachinery import errors
from apimachinery.addresses import address as read
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core import services as rules

_PREFER, _REQUIRE, _SINGLE = "PreferDualStack", "RequireDualStack", "SingleStack"
_POLICY, _FAMILIES, _ADDRESSES = "spec.ipFamilyPolicy", "spec.ipFamilies", "spec.clusterIPs"


def family_of(address: str) -> str:
    found = read(address)
    return "unknown" if found is None else f"IPv{found.version}"


def settle(spec: Obj, was: Obj | None, configured: Sequence[str]) -> list[FieldError]:
    """Fill ipFamilyPolicy and ipFamilies into the spec of a Service that is no ExternalName, and take away addresses
    and families that a change to SingleStack releases; what cannot be.

    `was`: the spec before, None for a new Service. `configured`: the cluster's families, its own first. A list of
    addresses shorter than that of families afterwards means that addresses are to be found.
    """
    before = was if was is not None and was.get("type") != "ExternalName" else None
    if was is not None and _stays(spec, was):
        return []
    selectorless = spec.get("clusterIP") == "None" and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        known = (was or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = known or (_REQUIRE if selectorless else _SINGLE)
    if problems := list(rules.addresses(spec, was)):
        return problems
    problems = [*_released(spec, before), *_contradictions(spec), *_inferred(spec, configured)]
    if problems:
        return problems
    families = spec.get("ipFamilies") or []
    if not selectorless and (problems := list(_unserved(spec, families, configured))):
        return problems
    families = families or [configured[0]]
    # What is listed without a selector may be of whichever family, also where the cluster has one.
    if spec["ipFamilyPolicy"] != _SINGLE and len(families) == 1 and (selectorless or len(configured) == 2):
        families = [*families, "IPv4" if families[0] == "IPv6" else "IPv6"]
    spec["ipFamilies"] = families
    return []


def _stays(spec: Obj, was: Obj) -> bool:
    """A Service that prefers two families keeps what it has until somebody changes it, whatever became of the
    cluster."""
    same = all((spec.get(f) or []) == (was.get(f) or []) for f in ("clusterIPs", "ipFamilies"))
    alike = spec.get("type") == was.get("type") and was.get("ipFamilyPolicy") in (None, _PREFER)
    return same and alike and spec.get("ipFamilyPolicy") == _PREFER


def _released(spec: Obj, was: Obj | None) -> Iterator[FieldError]:
    """The second address and family go with a policy that says so, and only with it."""
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, then = spec.get(field) or [], (was or {}).get(field) or []
        if was is None or len(then) < 2:
            continue
        if spec["ipFamilyPolicy"] == _SINGLE and now == then:
            spec[field] = now[:1]
        elif spec["ipFamilyPolicy"] != _SINGLE and 0 < len(now) < len(then):
            text = f"must be 'SingleStack' to release the secondary {what}"
            yield errors.invalid(_POLICY, spec["ipFamilyPolicy"], text)


def _contradictions(spec: Obj) -> Iterator[FieldError]:
    for field, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if spec["ipFamilyPolicy"] == _SINGLE and len(spec.get(field) or ()) == 2:
            text = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            yield errors.invalid(_POLICY, _SINGLE, text)


def _inferred(spec: Obj, configured: Sequence[str]) -> Iterator[FieldError]:
    """Families that addresses stand for and that are not listed."""
    addresses, families = spec.get("clusterIPs") or [], list(spec.get("ipFamilies") or [])
    for index, address in enumerate(addresses):
        if address == "None":
            break
        if index < len(families):
            continue
        family = family_of(address)
        if family not in configured:
            yield errors.invalid(f"{_ADDRESSES}[{index}]", addresses, f"{family} is not configured on this cluster")
        else:
            families.append(family)
    if families:
        spec["ipFamilies"] = families


def _unserved(spec: Obj, families: Sequence[str], configured: Sequence[str]) -> Iterator[FieldError]:
    if spec["ipFamilyPolicy"] == _REQUIRE and len(configured) < 2:
        yield errors.invalid(_POLICY, _REQUIRE, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(families):
        if family not in configured:
            yield errors.invalid(f"{_FAMILIES}[{index}]", family, "not configured on this cluster")
