"""Requests, limits and claims of containers and pods, and the names of resources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.pods.requests import is_extended
from apimachinery.pods.totals import HUGE_PAGES as HUGE
from apimachinery.pods.totals import total
from apimachinery.quantity import Quantity
from controlplane.apiserver.rules.core.podspec import claims_of
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import NOT_NEGATIVE, amount, each
from controlplane.apiserver.rules.words import hook

_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_COUNTED = (
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
)
_AMOUNTS = ("cpu", "memory", "ephemeral-storage")
STANDARD = frozenset(
    (
        *_AMOUNTS,
        *(f"requests.{name}" for name in (*_AMOUNTS, "storage")),
        *(f"limits.{name}" for name in _AMOUNTS),
        *_COUNTED,
        "storage",
    )
)
_QUOTA_HUGE = (HUGE, f"requests.{HUGE}")
NO_INTEGER = "must be an integer"
_OVERCOMMIT = "Limit must be set for non overcommitable resources"


def native(resource: str) -> bool:
    return "/" not in resource or "kubernetes.io/" in resource


def whole(resource: str) -> bool:
    """Whether a resource comes in whole numbers."""
    return resource in _COUNTED or is_extended(resource)


def resource_name(path: str, resource: str) -> list[FieldError]:
    found = each(path, resource, formats.qualified_name(resource))
    if not found and "/" not in resource and resource not in STANDARD and not resource.startswith(_QUOTA_HUGE):
        found.append(errors.invalid(path, resource, "must be a standard resource type or fully qualified"))
    return found


def container_resource_name(path: str, resource: str) -> list[FieldError]:
    found = resource_name(path, resource)
    if "/" not in resource:
        if resource not in _CONTAINER and not resource.startswith(HUGE):
            found.append(errors.invalid(path, resource, "must be a standard resource for containers"))
    elif not native(resource) and not is_extended(resource):
        found.append(errors.invalid(path, resource, "doesn't follow extended resource name standard"))
    return found


def pod_resource_name(path: str, resource: str) -> list[FieldError]:
    found = resource_name(path, resource)
    if not found and resource not in ("cpu", "memory") and not resource.startswith(HUGE):
        found.append(errors.not_supported(path, resource, ("cpu", HUGE, "memory")))
    return found


def resource_amount(path: str, resource: str, text: str) -> Iterator[FieldError]:
    value = amount(text)
    if value < amount(0):
        yield errors.invalid(path, text, NOT_NEGATIVE)
    if whole(resource) and value.milli() % 1000:
        yield errors.invalid(path, text, NO_INTEGER)


def _listed(
    path: str, listed: Mapping[str, str], check: Callable[[str, str], list[FieldError]]
) -> Iterator[tuple[str, str, list[FieldError]]]:
    """Each resource, its amount and what is wrong with the two."""
    for resource, text in sorted(listed.items()):
        where = f"{path}[{resource}]"
        yield resource, text, [*check(where, resource), *resource_amount(where, resource, text)]


def _pages(path: str, resource: str, text: str) -> Iterator[FieldError]:
    """Huge pages come in whole ones."""
    if not resource.startswith(HUGE):
        return
    try:
        page = amount(resource[len(HUGE) :])
    except ValueError:
        page = amount(0)
    if page <= amount(0) or page.milli() % 1000 or amount(text).value() % page.value():
        yield errors.invalid(path, text, f"{text} is not positive integer multiple of {resource}")


def requirements(resources: Obj, path: str, check: Callable[[str, str], list[FieldError]]) -> Iterator[FieldError]:
    """Limits and requests, each of names that `check` allows, and what one says of the other."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    if not limits and not requests:
        return
    for resource, text, found in _listed(f"{path}.limits", limits, check):
        yield from found
        yield from _pages(f"{path}.limits[{resource}]", resource, text)
    for resource, text, found in _listed(f"{path}.requests", requests, check):
        yield from found
        may_exceed = native(resource) and not resource.startswith(HUGE)
        if resource in limits:
            yield from _within(f"{path}.requests", resource, text, limits[resource], may_exceed)
        elif not may_exceed:
            yield errors.required(f"{path}.limits", _OVERCOMMIT)
        yield from _pages(f"{path}.requests[{resource}]", resource, text)
    names = {*limits, *requests}
    if not names & {"cpu", "memory"} and any(name.startswith(HUGE) for name in names):
        yield errors.field_forbidden(path, "HugePages require cpu or memory")


def _within(path: str, resource: str, request: str, limit: str, may_exceed: bool) -> Iterator[FieldError]:
    if not may_exceed and amount(request) != amount(limit):
        yield errors.invalid(path, request, f"must be equal to {resource} limit of {limit}")
    elif amount(request) > amount(limit):
        yield errors.invalid(path, request, f"must be less than or equal to {resource} limit of {limit}")


def _claims(resources: Obj, at: Place) -> Iterator[FieldError]:
    return _claim_names(resources["claims"] or [], claims_of(at), at.to("claims"))


def _claim_names(claims: list[Obj], known: Collection[str], path: str) -> Iterator[FieldError]:
    seen = set[str]()
    for index, claim in enumerate(claims):
        where, title, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not title:
            yield errors.required(where)
            continue
        if title in seen:
            yield errors.duplicate(where, title)
        else:
            key = f"{title}/{request}" if request else title
            if request:
                yield from each(f"{where}.request", request, formats.dns1123_label(request))
            if key in seen:
                yield errors.duplicate(where, key)
            elif not request:
                yield from (errors.duplicate(where, title) for other in seen if other.startswith(f"{title}/"))
            seen.add(key)
        if title not in known:
            told = f": {', '.join(known)}" if known else " which is empty"
            yield errors.field_not_found(where, title, f"must be one of the names in pod.spec.resourceClaims{told}")


def _of_container(resources: Obj, at: Place) -> Iterator[FieldError]:
    return iter(()) if _plain(resources) else requirements(resources, at.path, container_resource_name)


def _plain(resources: Obj) -> bool:
    """Whether all is as nearly always: plain resources, none negative, no request above its limit."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for listed in (limits, requests):
        for name, text in listed.items():
            if name not in _CONTAINER or text.startswith("-"):
                return False
    return all(
        name not in limits or limits[name] == text or amount(text) <= amount(limits[name])
        for name, text in requests.items()
    )


def overhead(spec: Obj, at: Place) -> Iterator[FieldError]:
    return requirements({"limits": spec["overhead"]}, at.to("overhead"), container_resource_name)


# --- of the pod as a whole ---


def pod_resources(spec: Obj, at: Place) -> Iterator[FieldError]:
    resources, where = spec["resources"], at.to("resources")
    if (spec.get("os") or {}).get("name") == "windows":
        yield errors.field_forbidden(where, "may not be set for a windows pod")
        return
    if resources.get("claims") is not None:
        yield errors.field_forbidden(f"{where}.claims", "claims may not be set for Resources at pod-level")
    yield from requirements(resources, where, pod_resource_name)
    yield from _claim_names(resources.get("claims") or [], claims_of(at), f"{where}.claims")
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for resource, needed in sorted(_totals(spec, "requests").items()):
        if resource in requests and needed > amount(requests[resource]):
            text = f"must be greater than or equal to aggregate container requests of {needed}"
            yield errors.invalid(f"{where}.requests[{resource}]", requests[resource], text)
    for resource, needed in sorted(_totals(spec, "limits").items()):
        if resource.startswith(HUGE) and resource in limits and needed > amount(limits[resource]):
            text = f"must be greater than or equal to aggregate container limits of {needed}"
            yield errors.invalid(f"{where}.limits[{resource}]", limits[resource], text)
    for index, container in enumerate(spec.get("containers") or ()):
        for resource, limit in sorted(((container.get("resources") or {}).get("limits") or {}).items()):
            if resource in limits and amount(limit) > amount(limits[resource]):
                text = f"must be less than or equal to pod limits of {limits[resource]}"
                yield errors.invalid(f"{where}.containers[{index}][{resource}].limits", limit, text)


def _totals(spec: Obj, side: str) -> dict[str, Quantity]:
    """What the containers ask for together, whatever the pod does."""
    return total({field: value for field, value in spec.items() if field != "resources"}, side, overhead=False)


RULES: dict[str, Row] = {"core.v1.ResourceRequirements": (hook(_of_container), hook(_claims, "claims"))}
