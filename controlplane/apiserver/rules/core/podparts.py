"""Pods written by a subresource that changes one part: ephemeral containers, resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, copy
from apimachinery.pods.qos import qos_class
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.annotations import MIRROR
from controlplane.apiserver.rules.core.podchanges import annotation_changes
from controlplane.apiserver.rules.core.pods import POD_ONLY, pod_annotations_of
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import difference
from controlplane.apiserver.rules.values import NO_PATH
from controlplane.apiserver.rules.words import changed, hook, when

_COMPUTE = ("cpu", "memory")


def _static(pod: Obj, at: Place) -> bool:
    return MIRROR in ((at.about.old or {}).get("metadata", {}).get("annotations") or {})


def _windows(pod: Obj, at: Place) -> bool:
    old = (at.about.old or {}).get("spec") or {}
    return not _static(pod, at) and (old.get("os") or {}).get("name") == "windows"


def _alive(pod: Obj, at: Place) -> bool:
    return not _static(pod, at)


def _resizable(pod: Obj, at: Place) -> bool:
    return _alive(pod, at) and not _windows(pod, at)


def _refuse(text: str) -> Callable[[Obj, Place], list[FieldError]]:
    return lambda pod, at: [errors.field_forbidden(NO_PATH, text)]


def _annotations(pod: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    return annotation_changes(pod, before)


def _only_more(pod: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """Ephemeral containers that are there may neither change nor go (KEP-277)."""
    now = {container.get("name"): container for container in pod["spec"].get("ephemeralContainers") or ()}
    for container in before["spec"].get("ephemeralContainers") or ():
        title = errors.quoted(container.get("name") or "")
        other = now.get(container.get("name"))
        if other is None:
            text = f"existing ephemeral containers {title} may not be removed\n"
            yield errors.field_forbidden("spec.ephemeralContainers", text)
        elif other != container:
            shown = difference("core.v1.EphemeralContainer", container, other)
            text = f"existing ephemeral containers {title} may not be changed\n{shown}"
            yield errors.field_forbidden("spec.ephemeralContainers", text)


# --- resize (KEP-1287) ---


def _resize(pod: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    spec, was = pod["spec"], before["spec"]
    found = list(_whole(pod, before))
    order = list(_order(spec, was))
    if order:
        yield from (*found, *order)
        return
    for field in ("initContainers", "containers"):
        for index, (new, old) in enumerate(zip(spec.get(field) or (), was.get(field) or (), strict=True)):
            where = f"spec.{field}[{index}].resources"
            found += _removed(new.get("resources") or {}, old.get("resources") or {}, where, "resource")
    masked = copy(spec)
    _mask(masked, was, pod_level=True)
    found += _containers(masked, was)
    found += _init_containers(masked, was)
    if not found and masked != was:
        found.append(errors.field_forbidden("spec", "only cpu and memory resources are mutable"))
    yield from found


def _whole(pod: Obj, before: Obj) -> Iterator[FieldError]:
    """What is asked of the pod as a whole."""
    spec, was, status = pod["spec"], before["spec"], before.get("status") or {}
    if (status.get("qosClass") or qos_class(before["spec"])) != qos_class(pod["spec"]):
        shown = (pod.get("status") or {}).get("qosClass") or ""
        yield errors.invalid("spec", shown, "Pod QOS Class may not change as a result of resizing")
    running = [c for c in status.get("containerStatuses") or () if (c.get("state") or {}).get("running") is not None]
    if running and running[0].get("resources") is None:
        yield errors.field_forbidden("spec", "Pod running on node without support for resize")
    new, old = spec.get("resources"), was.get("resources")
    if old is not None and new is None and _amounts(old):
        yield errors.field_forbidden("spec.resources", "pod-level resources cannot be removed")
    elif new is not None or old is not None:
        yield from _removed(new or {}, old or {}, "spec.resources", "pod-level resource")
        masked: Obj = {"resources": copy(new or {})}
        _mask(masked, {"resources": old}, pod_level=True)
        if _amounts(masked.get("resources") or {}) != _amounts(old or {}):
            text = "only cpu and memory resources are mutable at pod-level"
            yield errors.field_forbidden("spec", text)
    if status.get("nodeAllocatableResourceClaimStatuses"):
        yield errors.field_forbidden("spec", "pods with node allocatable resource claims cannot be resized")


def _amounts(resources: Obj) -> Obj:
    return {field: value for field, value in resources.items() if value}


def _order(spec: Obj, was: Obj) -> Iterator[FieldError]:
    for field in ("containers", "initContainers"):
        new, old = spec.get(field) or [], was.get(field) or []
        if len(new) != len(old):
            yield errors.field_forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            continue
        for index, (container, before) in enumerate(zip(new, old, strict=True)):
            if container.get("name") != before.get("name"):
                text = f"{field} may not be renamed or reordered on resize"
                yield errors.field_forbidden(f"spec.{field}[{index}].name", text)


def _removed(new: Obj, old: Obj, path: str, what: str) -> Iterator[FieldError]:
    for field in ("requests", "limits"):
        if not set(old.get(field) or ()) <= set(new.get(field) or ()):
            yield errors.field_forbidden(f"{path}.{field}", f"{what} {field} cannot be removed")


def _mask(holder: Obj, was: Obj, pod_level: bool = False) -> None:
    """Make cpu and memory, which may change, what they were."""
    new, old = holder.get("resources"), was.get("resources")
    if new is None:
        return
    for field in ("requests", "limits"):
        before = (old or {}).get(field) or {}
        kept = {name: text for name, text in (new.get(field) or {}).items() if name not in _COMPUTE}
        kept.update({name: before[name] for name in _COMPUTE if name in before})
        new.pop(field, None)
        if kept:
            new[field] = kept
    if pod_level and old is None and not _amounts(new):
        del holder["resources"]


def _unclaimed(container: Obj) -> None:
    """Upstream compares what it took the claims from with what has them: who has claims stays as large as he is."""
    (container.get("resources") or {}).pop("claims", None)


def _containers(masked: Obj, was: Obj) -> Iterator[FieldError]:
    for container, before in zip(masked.get("containers") or (), was.get("containers") or (), strict=True):
        _mask(container, before)
        _unclaimed(container)
        if container != before:
            yield errors.field_forbidden("spec", "only cpu and memory resources are mutable")


def _init_containers(masked: Obj, was: Obj) -> Iterator[FieldError]:
    pairs = zip(masked.get("initContainers") or (), was.get("initContainers") or (), strict=True)
    for index, (container, before) in enumerate(pairs):
        where, touched = f"spec.initContainers[{index}]", container != before
        _mask(container, before)
        _unclaimed(container)
        if container != before:
            text = "only cpu and memory resources for init or sidecar containers are mutable"
            yield errors.field_forbidden(where, text)
        if touched and container.get("restartPolicy") != "Always":
            for policy in container.get("resizePolicy") or ():
                if policy.get("restartPolicy") == "RestartContainer":
                    text = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
                    yield errors.field_forbidden(where, text)


RULES: dict[str, Row] = {
    "core.v1.Pod/ephemeralcontainers": (
        when(_static, hook(_refuse("static pods do not support ephemeral containers"))),
        when(
            _alive,
            hook(pod_annotations_of),
            inside("spec"),
            *POD_ONLY,
            changed(_annotations),
            changed(_only_more),
        ),
    ),
    "core.v1.Pod/resize": (
        when(_static, hook(_refuse("static pods cannot be resized"))),
        when(_windows, hook(_refuse("windows pods cannot be resized"))),
        when(_resizable, hook(pod_annotations_of), inside("spec"), *POD_ONLY, changed(_resize)),
    ),
}
