"""Requests, limits and the names of resources."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import NOT_NEGATIVE, Found, Obj, amount, each

_STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))
_HUGE = "hugepages-"


def requirements(path: str, resources: Obj | None, claims: list[str]) -> Found:
    """A container's resources."""
    resources = resources or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found: Found = []
    huge = base = uncovered = False
    for resource, text in sorted(limits.items()):
        found += _resource_name(f"{path}.limits[{resource}]", resource)
        found += _quantity(f"{path}.limits[{resource}]", resource, text)
        huge |= resource.startswith(_HUGE)
        base |= resource in ("cpu", "memory")
    for resource, text in sorted(requests.items()):
        found += _resource_name(f"{path}.requests[{resource}]", resource)
        found += _quantity(f"{path}.requests[{resource}]", resource, text)
        if resource in limits:
            found += _within(f"{path}.requests", resource, text, limits[resource])
        elif not _overcommits(resource):
            uncovered = True
        huge |= resource.startswith(_HUGE)
        base |= resource in ("cpu", "memory")
    if uncovered:
        found.append(errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
    if huge and not base:
        found.append(errors.field_forbidden(path, "HugePages require cpu or memory"))
    return found + _claims(f"{path}.claims", resources.get("claims") or [], claims)


def _overcommits(resource: str) -> bool:
    return ("/" not in resource or "kubernetes.io/" in resource) and not resource.startswith(_HUGE)


def _within(path: str, resource: str, request: str, limit: str) -> Found:
    if not _overcommits(resource) and amount(request) != amount(limit):
        return [errors.invalid(path, request, f"must be equal to {resource} limit of {limit}")]
    if amount(request) > amount(limit):
        return [errors.invalid(path, request, f"must be less than or equal to {resource} limit of {limit}")]
    return []


def _resource_name(path: str, resource: str) -> Found:
    found = each(path, resource, formats.qualified_name(resource))
    plain = "/" not in resource
    if plain and not (resource in _STANDARD or resource.startswith(_HUGE)):
        if not found:
            found.append(errors.invalid(path, resource, "must be a standard resource type or fully qualified"))
        found.append(errors.invalid(path, resource, "must be a standard resource for containers"))
    elif not plain and "kubernetes.io/" not in resource and not _extended(resource):
        found.append(errors.invalid(path, resource, "doesn't follow extended resource name standard"))
    return found


def _extended(resource: str) -> bool:
    """Quotas put "requests." in front of the name, which must still be one."""
    return not resource.startswith("requests.") and not formats.qualified_name(f"requests.{resource}")


def _quantity(path: str, resource: str, text: str) -> Found:
    found: Found = []
    value = amount(text)
    if value < amount(0):
        found.append(errors.invalid(path, text, NOT_NEGATIVE))
    if "/" in resource and value.milli() % 1000:
        found.append(errors.invalid(path, text, "must be an integer"))
    if resource.startswith(_HUGE) and (page := amount(resource[len(_HUGE) :]).value()) and value.value() % page:
        found.append(errors.invalid(path, text, f"{text} is not positive integer multiple of {resource}"))
    return found


def _claims(path: str, used: list[Obj], known: list[str]) -> Found:
    found: Found = []
    for index, claim in enumerate(used):
        title = claim.get("name") or ""
        if not title:
            found.append(errors.required(f"{path}[{index}]"))
        elif title not in known:
            listed = ", ".join(known)
            text = "must be one of the names in pod.spec.resourceClaims"
            text += f": {listed}" if known else " which is empty"
            error = errors.field_not_found(f"{path}[{index}]", title)
            found.append(errors.FieldError(error.reason, error.field, f"{error.text}: {text}"))
    return found
