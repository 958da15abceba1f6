"""What may change in a pod that exists."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.defaults.empties import copied, written
from controlplane.apiserver.rules.core.annotations import MIRROR, pod_annotations
from controlplane.apiserver.rules.core.containers import padded
from controlplane.apiserver.rules.core.scheduling import tolerations_at
from controlplane.apiserver.rules.core.security import APPARMOR
from controlplane.apiserver.rules.place import Place
from controlplane.apiserver.rules.shown import difference, struct
from controlplane.apiserver.rules.values import MAX_INT32

_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_LISTS = ("containers", "initContainers")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TERMS = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"


def change(pod: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    spec, was = pod["spec"], before["spec"]
    yield from annotation_changes(pod, before)
    for field in _LISTS:
        now = spec.get(field) or []
        if len(now) != len(was.get(field) or ()):
            yield errors.field_forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(now):
            if not container.get("image"):
                yield errors.required(f"spec.{field}[{index}].image")
            yield from padded(container, f"spec.{field}[{index}]")
    wrong = _deadline(spec, was)
    if wrong is not None:
        yield wrong
        if spec.get("activeDeadlineSeconds") is not None:
            return
    yield from _tolerations(spec, was)
    yield from _gates(spec, was)
    if spec != was:
        yield from _rest(spec, was)


def annotation_changes(pod: Obj, before: Obj) -> Iterator[FieldError]:
    """Annotations that say what a pod runs as stay, and none such comes later."""
    new, old = ((each["metadata"].get("annotations") or {}) for each in (pod, before))
    for key in sorted(old):
        if new.get(key) != old[key]:
            yield from _settled(key, "remove or update")
    for key in sorted(new):
        if key not in old:
            yield from _settled(key, "add")
    yield from pod_annotations(new, pod["spec"], "metadata.annotations")


def _settled(key: str, what: str) -> Iterator[FieldError]:
    if key.startswith(APPARMOR):
        yield errors.field_forbidden(f"metadata.annotations[{key}]", f"may not {what} AppArmor annotations")
    if key == MIRROR:
        yield errors.field_forbidden(f"metadata.annotations[{key}]", f"may not {what} mirror pod annotation")


def _deadline(spec: Obj, was: Obj) -> FieldError | None:
    before, after = was.get("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if after is None:
        if before is None:
            return None
        return errors.invalid(path, None, "must not update from a positive integer to nil value")
    if not 0 <= after <= MAX_INT32:
        return errors.invalid(path, after, f"must be between 0 and {MAX_INT32}, inclusive")
    if before is not None and after > before:
        return errors.invalid(path, after, "must be less than or equal to previous value")
    return None


def _tolerations(spec: Obj, was: Obj) -> Iterator[FieldError]:
    """Those that are there may only be told how long they last."""
    now = [_plain(toleration) for toleration in spec.get("tolerations") or ()]
    if any(_plain(toleration) not in now for toleration in was.get("tolerations") or ()):
        text = "existing toleration can not be modified except its tolerationSeconds"
        yield errors.field_forbidden("spec.tolerations", text)
        return
    # Upstream looks at them once more here.
    yield from tolerations_at("spec.tolerations", spec.get("tolerations") or ())


def _plain(toleration: Obj) -> Obj:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _gates(spec: Obj, was: Obj) -> Iterator[FieldError]:
    known = {gate.get("name") for gate in was.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield errors.field_forbidden(f"spec.schedulingGates[{index}].name", text)


def _rest(spec: Obj, was: Obj) -> Iterator[FieldError]:
    """Everything that may change made as it was; what then differs may not."""
    masked: Obj = copied(spec)
    for field in _LISTS:
        for container, before in zip(masked.get(field) or (), was.get(field) or (), strict=True):
            container["image"] = before.get("image")
    _put_back(masked, was, "activeDeadlineSeconds", "schedulingGates", "tolerations")
    if (was.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        _put_back(masked, was, "terminationGracePeriodSeconds")
    if was.get("schedulingGates"):
        yield from _narrowed(masked, was)
    if masked != was:
        yield errors.field_forbidden("spec", f"{_CHANGEABLE}\n{difference('core.v1.PodSpec', was, masked)}")


def _put_back(masked: Obj, was: Obj, *fields: str) -> None:
    for field in fields:
        masked.pop(field, None)
        if field in was:
            masked[field] = was[field]


def _narrowed(masked: Obj, was: Obj) -> Iterator[FieldError]:
    """A pod that nobody may schedule yet can be narrowed to fewer nodes, never to others."""
    selector, before = masked.get("nodeSelector"), was.get("nodeSelector") or {}
    if any((selector or {}).get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield errors.invalid("spec.nodeSelector", selector and dict(sorted(selector.items())), text)
    _put_back(masked, was, "nodeSelector")
    now, then = ((each.get("affinity") or {}).get("nodeAffinity") for each in (masked, was))
    if now == then:
        return
    yield from _affinity(now, then)
    affinity = {key: value for key, value in (masked.get("affinity") or {}).items() if key != "nodeAffinity"}
    if then is not None:
        affinity["nodeAffinity"] = then
    if affinity or was.get("affinity") is not None:
        masked["affinity"] = affinity
    else:
        masked.pop("affinity", None)


def _affinity(now: Obj | None, then: Obj | None) -> Iterator[FieldError]:
    old = ((then or {}).get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    new = ((now or {}).get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    shown = [struct("core.v1.NodeSelectorTerm", term) for term in new]
    if old and len(old) != len(new):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        empty = written((now or {}).get(_REQUIRED) or {}, "nodeSelectorTerms")
        yield errors.invalid(_TERMS, shown or empty, text)
        return
    for index, (term, before) in enumerate(zip(new, old, strict=False)):
        if not _only_more(term, before):
            text = "only additions are allowed (no mutations or deletions)"
            yield errors.invalid(f"{_TERMS}[{index}]", shown[index], text)


def _only_more(term: Obj, before: Obj) -> bool:
    listed = [(term.get(f) or [], before.get(f) or []) for f in ("matchExpressions", "matchFields")]
    if not any(old for _, old in listed):
        # A term that matches nothing would come to match something.
        return not any(new for new, _ in listed)
    return all(new[: len(old)] == old for new, old in listed)
