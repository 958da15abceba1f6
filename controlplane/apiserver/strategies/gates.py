"""Fields behind feature gates that are off by default: they go from what is written, unless they were in use before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from apimachinery.objects import Obj

# A struct that may hold a field, and what is done about the struct once the field is gone.
Holder = tuple[Obj, Callable[[], None]]


def _nothing() -> None:
    return None


def _projections(spec: Obj) -> Iterator[Holder]:
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield source, _nothing


def _lifecycles(spec: Obj) -> Iterator[Holder]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            lifecycle = container.get("lifecycle")
            if lifecycle is not None:
                yield lifecycle, partial(_drop_empty, container, "lifecycle")


def _drop_empty(holder: Obj, field: str) -> None:
    if not holder[field]:
        del holder[field]


def _itself(spec: Obj) -> Iterator[Holder]:
    yield spec, _nothing


# Field -> where it lies in a pod's spec. ClusterTrustBundleProjection, PodCertificateRequest, ContainerStopSignals,
# GenericWorkload.
_OF_PODS: dict[str, Callable[[Obj], Iterator[Holder]]] = {
    "clusterTrustBundle": _projections,
    "podCertificate": _projections,
    "stopSignal": _lifecycles,
    "schedulingGroup": _itself,
}


def pod_spec(spec: Obj, before: Obj | None = None) -> None:
    """Of a pod, or of a template of pods, in place."""
    for field, holders in _OF_PODS.items():
        if before is None or all(field not in holder for holder, _ in holders(before)):
            for holder, after in holders(spec):
                if holder.pop(field, None) is not None:
                    after()


def _mounted(status: Obj) -> list[Obj]:
    """What is said of the mounts of all containers."""
    fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [mount for field in fields for one in status.get(field) or () for mount in one.get("volumeMounts") or ()]


def pod_status(status: Obj, before: Obj) -> None:
    """Of a pod, in place. ImageVolumeWithDigest, DRANodeAllocatableResources."""
    if all(mount.get("volumeStatus") is None for mount in _mounted(before)):
        for mount in _mounted(status):
            mount.pop("volumeStatus", None)
    if not before.get("nodeAllocatableResourceClaimStatuses"):
        status.pop("nodeAllocatableResourceClaimStatuses", None)


def template(*path: str) -> tuple[Callable[[Obj], None], Callable[[Obj, Obj], None]]:
    """What becomes of an object that keeps a template of pods at a path: when it is new, and when it changes."""

    def created(obj: Obj) -> None:
        pod_spec(_at(obj, path))

    def changed(new: Obj, old: Obj) -> None:
        pod_spec(_at(new, path), _at(old, path))

    return created, changed


def _at(obj: Obj, path: Sequence[str]) -> Obj:
    value: Any = obj
    for step in (*path, "spec"):
        value = (value or {}).get(step)
    return value or {}
