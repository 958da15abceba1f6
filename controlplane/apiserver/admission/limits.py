"""LimitRanger: what a namespace's LimitRanges give containers that say nothing, and what they allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery import errors
from apimachinery.kinds import LIMIT_RANGE, PERSISTENT_VOLUME_CLAIM, POD, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import Amounts, parsed, total
from apimachinery.quantity import Quantity, parse
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_NOTE = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        if kind is POD:
            return (subresource, operation) in (("", "CREATE"), ("resize", "UPDATE"))
        return kind is PERSISTENT_VOLUME_CLAIM and not subresource and operation in ("CREATE", "UPDATE")

    def admit(self, admission: Admission) -> None:
        """Defaults for the containers of a pod."""
        ranges = self._ranges(admission)
        if not ranges or admission.kind is not POD:
            return
        assert admission.obj is not None
        for limits in ranges:
            set_defaults(admission.obj, limits)

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden for the first range that the object breaks, with all that it breaks of it."""
        ranges = self._ranges(admission)
        if not ranges:
            return
        spec = (admission.obj or {})["spec"]
        broken = of_pod if admission.kind is POD else of_claim
        for limits in ranges:
            found = list(dict.fromkeys(why for limit in limits for why in broken(spec, limit)))
            if found:
                why = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
                raise errors.forbidden(admission.kind.plural, admission.name, why, admission.kind.group)

    def _ranges(self, admission: Admission) -> list[list[Obj]]:
        entries = self.registry.collection(LIMIT_RANGE).scan(admission.namespace)
        if not entries or (admission.old or {}).get("metadata", {}).get("deletionTimestamp"):
            return []
        return [(entry.obj.get("spec") or {}).get("limits") or [] for entry in entries]


def set_defaults(pod: Obj, limits: list[Obj]) -> None:
    """Give the containers of a pod what they leave open, and note it in an annotation; in place."""
    given: dict[str, dict[str, Any]] = {"requests": {}, "limits": {}}
    for limit in limits:
        if limit.get("type") == "Container":
            given["requests"].update(limit.get("defaultRequest") or {})
            given["limits"].update(limit.get("default") or {})
    notes = []
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            for side, said in (("requests", "request"), ("limits", "limit")):
                if names := _fill(container.setdefault("resources", {}), side, given[side]):
                    notes.append(f"{', '.join(sorted(names))} {said} for {what} {container['name']}")
    if notes:
        pod["metadata"].setdefault("annotations", {})[_NOTE] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _fill(resources: Obj, side: str, given: Mapping[str, Any]) -> list[str]:
    standing = resources.get(side) or {}
    missing = {name: amount for name, amount in given.items() if name not in standing}
    if missing:
        resources[side] = {**standing, **missing}
    return list(missing)


def of_pod(spec: Obj, limit: Obj) -> Iterator[str]:
    """What a PodSpec breaks of one LimitRangeItem."""
    kind = limit.get("type")
    if kind == "Container":
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            yield from _broken(limit, parsed(resources.get("requests")), parsed(resources.get("limits")))
    elif kind == "Pod":
        yield from _broken(limit, total(spec, "requests", overhead=False), total(spec, "limits", overhead=False))


def of_claim(spec: Obj, limit: Obj) -> Iterator[str]:
    """What a claim's spec breaks of one LimitRangeItem: its requests alone count."""
    if limit.get("type") != "PersistentVolumeClaim":
        return
    requests = parsed((spec.get("resources") or {}).get("requests"))
    for name, bound in sorted((limit.get("min") or {}).items()):
        yield from _below("PersistentVolumeClaim", name, parse(bound), requests, {})
    for name, bound in sorted((limit.get("max") or {}).items()):
        most, said = parse(bound), f"maximum {name} usage per PersistentVolumeClaim is {parse(bound)}"
        if name not in requests:
            yield f"{said}.  No request is specified"
        elif requests[name] > most:
            yield f"{said}, but request is {requests[name]}"


def _broken(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for name, bound in sorted((limit.get("min") or {}).items()):
        yield from _below(kind, name, parse(bound), requests, limits)
    for name, bound in sorted((limit.get("max") or {}).items()):
        yield from _above(kind, name, parse(bound), requests, limits)
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _stretched(kind, name, parse(bound), requests, limits)


def _below(kind: str, name: str, least: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"minimum {name} usage per {kind} is {least}"
    if name not in requests:
        yield f"{said}.  No request is specified"
    elif requests[name] < least:
        yield f"{said}, but request is {requests[name]}"
    elif name in limits and limits[name] < least:
        yield f"{said}, but limit is {limits[name]}"


def _above(kind: str, name: str, most: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"maximum {name} usage per {kind} is {most}"
    if name not in limits:
        yield f"{said}.  No limit is specified"
    elif limits[name] > most:
        yield f"{said}, but limit is {limits[name]}"
    elif name in requests and requests[name] > most:
        yield f"{said}, but request is {requests[name]}"


def _stretched(kind: str, name: str, most: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"{name} max limit to request ratio per {kind} is {most}, but"
    if not requests.get(name):
        yield f"{said} no request is specified or request is 0"
    elif not limits.get(name):
        yield f"{said} no limit is specified or limit is 0"
    elif limits[name].nanos * 10**9 > most.nanos * requests[name].nanos:
        yield f"{said} provided ratio is {limits[name].nanos / requests[name].nanos:f}"
