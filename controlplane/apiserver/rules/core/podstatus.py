"""What a pod's status may say, and how it may change."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.addresses import address
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.podchanges import annotation_changes
from controlplane.apiserver.rules.core.resources import native
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import MAX_INT32, amount, each, ip
from controlplane.apiserver.rules.words import changed, hook, immutable

_OWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_NOT_NEGATIVE = "must be a non-negative integer"
_RUNNING_AGAIN = "may not be transitioned to non-terminated state"
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_MESSAGE_LIMIT = 1024
_LISTS = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)


def _annotations(pod: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    return annotation_changes(pod, before)


def _conditions(status: Obj, at: Place) -> Iterator[FieldError]:
    for index, condition in enumerate(status["conditions"] or ()):
        where, kind = f"{at.to('conditions')}[{index}]", condition.get("type") or ""
        if (condition.get("observedGeneration") or 0) < 0:
            yield errors.invalid(f"{where}.observedGeneration", condition["observedGeneration"], _NOT_NEGATIVE)
        if kind not in _OWN_CONDITIONS:
            yield from each(f"{where}.Type", kind, formats.qualified_name(kind))


def _nominated(status: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    node, where = status.get("nominatedNodeName") or "", at.to("nominatedNodeName")
    if node and node != before.get("nominatedNodeName"):
        yield from each(where, node, formats.dns1123_subdomain(node))
        if (at.about.old or {}).get("spec", {}).get("nodeName"):
            yield errors.field_forbidden(where, "may not be set on pods that are already bound to a node")
    if (status.get("observedGeneration") or 0) < 0:
        yield errors.invalid(at.to("observedGeneration"), status["observedGeneration"], _NOT_NEGATIVE)


def _states(status: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A container that has ended for good does not run again."""
    spec = (at.about.old or {}).get("spec") or {}
    for field, listed in _LISTS:
        if listed != "ephemeralContainers" and _all_may_restart(spec):
            continue
        containers = {container.get("name"): container for container in spec.get(listed) or ()}
        now = {each.get("name"): each for each in reversed(status.get(field) or ())}
        for index, was in enumerate(before.get(field) or ()):
            ended = (was.get("state") or {}).get("terminated")
            again = now.get(was.get("name"))
            if ended is None or again is None or (again.get("state") or {}).get("terminated") is not None:
                continue
            container = containers.get(was.get("name"))
            mortal = listed == "ephemeralContainers" or container is None
            if mortal or not _restarts(container or {}, spec, ended.get("exitCode") or 0):
                yield errors.field_forbidden(f"{at.to(field)}[{index}].state", _RUNNING_AGAIN)


def _all_may_restart(spec: Obj) -> bool:
    """One container's end may be the beginning of all (KEP-5532)."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for field in ("initContainers", "containers")
        for container in spec.get(field) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _restarts(container: Obj, spec: Obj, code: int) -> bool:
    policy = container.get("restartPolicy")
    if policy is not None:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            listed = code in (codes.get("values") or ())
            if {"In": listed, "NotIn": not listed}.get(codes.get("operator") or "", False):
                return True
    policy = policy or spec.get("restartPolicy") or "Always"
    return bool(policy == "Always" or (policy == "OnFailure" and code))


def _claims(status: Obj, at: Place) -> Iterator[FieldError]:
    known = {claim.get("name") for claim in at.above().value["spec"].get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(status["resourceClaimStatuses"] or ()):
        where, title = f"{at.to('resourceClaimStatuses')}[{index}]", claim.get("name") or ""
        if title not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            yield errors.invalid(f"{where}.name", title, text)
        if title in seen:
            yield errors.duplicate(f"{where}.name", title)
        seen.add(title)
        if (made := claim.get("resourceClaimName")) is not None:
            yield from each(f"{where}.resourceClaimName", made, formats.dns1123_subdomain(made))


def _extended(status: Obj, at: Place) -> Iterator[FieldError]:
    claim, where = status["extendedResourceClaimStatus"], at.to("extendedResourceClaimStatus")
    spec = at.above().value["spec"]
    known = {c.get("name"): c for field in ("initContainers", "containers") for c in spec.get(field) or ()}
    mappings, seen = claim.get("requestMappings") or [], set()
    if not mappings:
        yield errors.required(f"{where}.requestMappings", "at least one request mapping is required")
    for index, mapping in enumerate(mappings):
        path = f"{where}.requestMappings[{index}]"
        key = tuple(mapping.get(field) or "" for field in ("containerName", "resourceName", "requestName"))
        container = known.get(key[0])
        if container is None:
            text = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            yield errors.invalid(f"{path}.containerName", key[0], text)
        elif key[1] not in ((container.get("resources") or {}).get("requests") or {}):
            text = (
                "must match the extended resource name of an entry in spec.initContainers.resources.requests or "
                "spec.containers.resources.requests"
            )
            yield errors.invalid(f"{path}.resourceName", key[1], text)
        yield from each(f"{where}.requestName", key[2], formats.dns1123_label(key[2]))
        if key in seen:
            for field, value in zip(("containerName", "resourceName", "requestName"), key, strict=True):
                yield errors.duplicate(f"{path}.{field}", value)
        seen.add(key)
    title = claim.get("resourceClaimName") or ""
    if not title:
        yield errors.required(f"{where}.resourceClaimName")
    else:
        yield from each(f"{where}.resourceClaimName", title, formats.dns1123_subdomain(title))


def _allocatable(status: Obj, at: Place) -> Iterator[FieldError]:
    claims = (*(at.above().value["spec"].get("resourceClaims") or ()), *(status.get("resourceClaimStatuses") or ()))
    known = {claim.get("resourceClaimName") for claim in claims}
    for index, claim in enumerate(status["nodeAllocatableResourceClaimStatuses"] or ()):
        where, title = f"{at.to('nodeAllocatableResourceClaimStatuses')}[{index}]", claim.get("resourceClaimName") or ""
        if not title:
            yield errors.required(f"{where}.resourceClaimName", "must not be empty")
        if title not in known:
            yield errors.invalid(f"{where}.resourceClaimName", title, "no mapping found in pod reference")
        for field in ("containers", "resources"):
            if not claim.get(field):
                yield errors.required(f"{where}.{field}", "must not be empty")
        for resource, text in sorted((claim.get("resources") or {}).items()):
            if not native(resource):
                told = "must be a node allocatable resource name"
                yield errors.invalid(f"{where}.resources[{resource}]", resource, told)
            if amount(text) < amount(0):
                yield errors.invalid(f"{where}.resources[{resource}]", text, "must be non-negative")


def _addresses(status: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    hosts = status.get("hostIPs") or []
    yield from _listed(status.get("podIPs") or [], before.get("podIPs") or (), at.to("podIPs"))
    if hosts and (status.get("hostIP") or "") != (hosts[0].get("ip") or ""):
        yield errors.invalid(f"{at.to('hostIPs')}[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`")
    yield from _listed(hosts, before.get("hostIPs") or (), at.to("hostIPs"))


def _listed(addresses: list[Obj], before: tuple[Obj, ...] | list[Obj], path: str) -> Iterator[FieldError]:
    """At most one address of each family; one that is there already may stay, whatever it looks like."""
    known = [entry.get("ip") for entry in before]
    for index, entry in enumerate(addresses):
        if entry.get("ip") not in known:
            yield from ip(f"{path}[{index}]", entry.get("ip"))
    texts = [entry.get("ip") or "" for entry in addresses]
    families = list(map(_family, texts))
    if len(families) > 1 and 0 in families:
        index = families.index(0)
        told = f"failed to check for dual stack with error:invalid IP[{index}]: {texts[index]}"
        yield errors.internal(path, told)
    if len(families) > 1 and sorted(families) != [4, 6]:
        shown = [struct("core.v1.PodIP", entry) for entry in addresses]
        yield errors.invalid(path, shown, "may specify no more than one IP for each IP family")


def _family(text: str) -> int:
    found = address(text)
    return 0 if found is None else found.version


def _users(status: Obj, at: Place) -> Iterator[FieldError]:
    system = (at.above().value["spec"].get("os") or {}).get("name") or "linux"
    for field, _ in _LISTS:
        for index, container in enumerate(status.get(field) or ()):
            user, where = (container.get("user") or {}).get("linux"), f"{at.to(field)}[{index}].user.linux"
            if user is None:
                continue
            if system == "windows":
                yield errors.field_forbidden(where, "cannot be set for a windows pod")
                continue
            ids = [("uid", user.get("uid") or 0), ("gid", user.get("gid") or 0)]
            ids += [(f"supplementalGroups[{n}]", group) for n, group in enumerate(user.get("supplementalGroups") or ())]
            for name, number in ids:
                if not 0 <= number <= MAX_INT32:
                    text = f"must be between 0 and {MAX_INT32}, inclusive"
                    yield errors.invalid(f"{where}.{name}", number, text)


def _health(status: Obj, at: Place) -> Iterator[FieldError]:
    for field, listed in _LISTS[:2]:
        containers = {c.get("name"): c for c in at.above().value["spec"].get(listed) or ()}
        for index, container in enumerate(status.get(field) or ()):
            for number, resource in enumerate(container.get("allocatedResourcesStatus") or ()):
                where = f"{at.to(field)}[{index}].allocatedResourcesStatus[{number}]"
                yield from _resource_health(resource, containers.get(container.get("name")), where)
    for index, container in enumerate(status.get("ephemeralContainerStatuses") or ()):
        if container.get("allocatedResourcesStatus"):
            where = f"{at.to('ephemeralContainerStatuses')}[{index}].allocatedResourcesStatus"
            yield errors.field_forbidden(where, "must not be specified in container status")


def _claimed(claim: Obj) -> str:
    request = claim.get("request")
    return f"claim:{claim.get('name')}/{request}" if request else f"claim:{claim.get('name')}"


def _resource_health(resource: Obj, container: Obj | None, path: str) -> Iterator[FieldError]:
    title = resource.get("name") or ""
    if container is not None:
        asked = container.get("resources") or {}
        known = set(asked.get("requests") or ())
        text = "must match one of the container's resource requests"
        if title.startswith("claim:"):
            known = {_claimed(claim) for claim in asked.get("claims") or ()}
            text = (
                "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
                "'claim:<claimName>' if request is empty"
            )
        if title not in known:
            yield errors.invalid(f"{path}.name", title, text)
    seen: set[str] = set()
    for index, unit in enumerate(resource.get("resources") or ()):
        where, message = f"{path}.resources[{index}]", unit.get("message")
        if unit.get("health") not in _HEALTH:
            yield errors.not_supported(f"{where}.health", unit.get("health") or "", _HEALTH)
        if message is not None and not message:
            yield errors.required(f"{where}.message", "must be non-empty if specified")
        elif message is not None and len(message.encode()) > _MESSAGE_LIMIT:
            yield errors.too_long(f"{where}.message", _MESSAGE_LIMIT)
        if (key := unit.get("resourceID") or "") in seen:
            yield errors.duplicate(f"{where}.resourceID", key)
        seen.add(key)


RULES: dict[str, Row] = {
    "core.v1.Pod/status": (changed(_annotations), "status"),
    "core.v1.PodStatus": (
        hook(_conditions, "conditions"),
        changed(_nominated),
        immutable("qosClass"),
        changed(_states),
        hook(_claims, "resourceClaimStatuses"),
        hook(_extended, "extendedResourceClaimStatus"),
        hook(_allocatable, "nodeAllocatableResourceClaimStatuses"),
        changed(_addresses),
        hook(_users),
        hook(_health),
    ),
}
