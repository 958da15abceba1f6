"""Deployments, ReplicaSets, StatefulSets, DaemonSets and ControllerRevisions."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.rules import values
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.pods import template_metadata
from controlplane.apiserver.rules.place import About, Found, Place, Row, Rows, Rule, Step
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import changed, created, enum, form, hook, immutable, not_negative, when
from controlplane.apiserver.rules.workloads import (
    at_most_all,
    int_or_percent,
    lifelong,
    never_less,
    selected,
    selector,
    selects,
    some,
    usable,
    within,
)

_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_STANDS = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_TEMPLATE = inside("template", always=True)
_SPEC = inside("spec", always=True)
_STATUS = inside("status", always=True)


# --- deployments ---


def _strategy(strategy: Obj, at: Place) -> Iterator[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            yield errors.field_forbidden(at.to("rollingUpdate"), text)
        return
    if kind != "RollingUpdate":
        shown = struct("apps.v1.DeploymentStrategy", strategy)
        yield errors.not_supported(at.path, shown, ("Recreate", "RollingUpdate"))
        return
    where, down, surge = at.to("rollingUpdate"), *_shares(rolling)
    yield from int_or_percent(f"{where}.maxUnavailable", down)
    yield from int_or_percent(f"{where}.maxSurge", surge)
    if not some(down) and not some(surge):
        yield errors.invalid(f"{where}.maxUnavailable", down, "may not be 0 when `maxSurge` is 0")
    yield from at_most_all(f"{where}.maxUnavailable", down)


def _shares(rolling: Obj | None) -> tuple[int | str, int | str]:
    down, surge = ((rolling or {}).get(field) for field in ("maxUnavailable", "maxSurge"))
    return 0 if down is None else down, 0 if surge is None else surge


def _deadline(spec: Obj, at: Place) -> Iterator[FieldError]:
    deadline = spec["progressDeadlineSeconds"]
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield errors.invalid(at.to("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds")


# --- daemon sets ---


def _daemon_selector(spec: Obj, at: Place) -> Iterator[FieldError]:
    if usable(spec, at):
        yield from selects(spec, at)
    given = spec.get("selector")
    if given is not None and not given.get("matchLabels") and not given.get("matchExpressions"):
        yield errors.invalid(at.to("selector"), given, "empty selector is invalid for daemonset")


def _daemon_update(update: Obj, at: Place) -> Iterator[FieldError]:
    kind, rolling = update.get("type"), update.get("rollingUpdate")
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        shown = struct("apps.v1.DaemonSetUpdateStrategy", update)
        yield errors.not_supported(at.path, shown, ("RollingUpdate", "OnDelete"))
        return
    where, down, surge = at.to("rollingUpdate"), *_shares(rolling)
    if rolling is None:
        yield errors.required(where)
        return
    for check in (int_or_percent, at_most_all):
        yield from check(f"{where}.maxUnavailable", down)
        yield from check(f"{where}.maxSurge", surge)
    if some(surge) and some(down):
        yield errors.invalid(f"{where}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif not some(surge) and not some(down):
        yield errors.required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0")


# --- stateful sets ---


def _management(spec: Obj, at: Place) -> Iterator[FieldError]:
    policy = spec.get("podManagementPolicy") or ""
    if not policy:
        yield errors.required(at.to("podManagementPolicy"))
    elif policy not in ("OrderedReady", "Parallel"):
        yield errors.invalid(at.to("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'")


def _stateful_update(spec: Obj, at: Place) -> Iterator[FieldError]:
    update, where = spec.get("updateStrategy") or {}, at.to("updateStrategy")
    kind, rolling = update.get("type") or "", update.get("rollingUpdate")
    if not kind:
        yield errors.required(where)
    elif kind not in ("RollingUpdate", "OnDelete"):
        shown = struct("apps.v1.StatefulSetUpdateStrategy", update)
        yield errors.invalid(where, shown, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is None:
        return
    elif kind == "OnDelete":
        shown = struct("apps.v1.RollingUpdateStatefulSetStrategy", rolling)
        yield errors.invalid(f"{where}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    else:
        yield from values.not_negative(f"{where}.rollingUpdate.partition", rolling.get("partition"))
        down = rolling.get("maxUnavailable")
        if down is not None:
            where = f"{where}.rollingUpdate.maxUnavailable"
            yield from int_or_percent(where, down)
            if not some(down):
                yield errors.invalid(where, down, "cannot be 0")
            yield from at_most_all(where, down)


def _claims() -> Rule:
    """Claims are made of claim templates, of which nothing else is looked at."""

    def bind(node: Node, rules: Rows) -> Step:
        claim = node.fields["volumeClaimTemplates"].element
        if claim is None:
            raise KeyError("claim templates are a list")
        walk = rules.compiled(rules.row("core.v1.PersistentVolumeClaimSpec"), claim.fields["spec"])

        def step(value: Obj, at: Place, found: Found) -> None:
            for index, item in enumerate(value["volumeClaimTemplates"] or ()):
                around = Place(at, "volumeClaimTemplates", index, item, None, at.about)
                spec = item.get("spec") or {}
                walk(spec, Place(around, "spec", None, spec, None, at.about), found)

        return step

    return Rule(bind, ("volumeClaimTemplates",), only_with="volumeClaimTemplates")


def _as_made(spec: Obj) -> Obj:
    """The template with what the controller puts in its place when it makes a pod: host name, subdomain and a volume
    for each claim template, so that these can be mounted.
    """
    template = spec.get("template") or {}
    pod = {k: v for k, v in (template.get("spec") or {}).items() if k not in ("hostname", "subdomain")}
    claimed = spec.get("volumeClaimTemplates") or ()
    names = dict.fromkeys((claim.get("metadata") or {}).get("name") or "" for claim in claimed)
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in names]
    return {**template, "spec": {**pod, "volumes": [*made, *own]} if made else pod}


def _metadata_again(spec: Obj, at: Place) -> Iterator[FieldError]:
    return template_metadata(spec.get("template") or {}, at.to("template"))


def _held_against(template: Rule) -> Rule:
    """A template's own rules, but for changes of what was let in earlier although it is not as it should be."""

    def bind(node: Node, rules: Rows) -> Step:
        own, whole = rules.compiled((template,), node), rules.compiled(_stateful(template), node)

        def step(value: Obj, at: Place, found: Found) -> None:
            if at.old is not None:
                earlier: Found = []
                whole(at.old, Place(None, "", None, at.old, None, About(at.about.kind, at.old)), earlier)
                if earlier:
                    return
            own(value, at, found)

        return step

    return Rule(bind, ("template",))


def _stateful(template: Rule) -> Row:
    """All that is looked at whenever a StatefulSet is written."""
    return (
        hook(_management),
        hook(_stateful_update),
        "persistentVolumeClaimRetentionPolicy",
        when(_new, _claims()),
        not_negative("replicas", "minReadySeconds"),
        "ordinals",
        when(_new, form("serviceName", formats.dns1123_label)),
        *selector("statefulset", ""),
        when(usable, hook(selects), template, hook(_metadata_again)),
        lifelong("StatefulSet"),
    )


def _new(spec: Obj, at: Place) -> bool:
    """What stands can no longer be changed, and is not looked at again: neither in a change nor, where the spec
    before it is looked at on its own, in that.
    """
    return at.about.old is None and at.up is not None


def _stateful_change(spec: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    fixed, was = ({k: v for k, v in one.items() if k not in _STATEFUL_FREE} for one in (spec, before))
    if fixed != was:
        yield errors.field_forbidden(at.path, _STATEFUL_STANDS)


# --- revisions ---


def _data(revision: Obj, at: Place) -> Iterator[FieldError]:
    data = revision.get("data")
    if data is None:
        yield errors.required("data", "data is mandatory")
    elif not isinstance(data, dict):
        yield errors.required("data", "data must be a valid JSON object")


RULES: dict[str, Row] = {
    "apps.v1.Deployment": (_SPEC,),
    "apps.v1.DeploymentSpec": (
        not_negative("replicas"),
        *selector("deployment", "invalid label selector"),
        selected(_TEMPLATE),
        inside("strategy", always=True),
        not_negative("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"),
        hook(_deadline, "progressDeadlineSeconds"),
        immutable("selector"),
    ),
    "apps.v1.DeploymentStrategy": (hook(_strategy),),
    "apps.v1.Deployment/status": (_STATUS,),
    "apps.v1.DeploymentStatus": (
        not_negative("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"),
        not_negative("unavailableReplicas", "terminatingReplicas", "collisionCount"),
        within("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", shown="status.replicas"),
        within("readyReplicas", "availableReplicas", shown="readyReplicas"),
        never_less("collisionCount"),
    ),
    "apps.v1.ReplicaSet": (_SPEC,),
    "apps.v1.ReplicaSetSpec": (
        not_negative("replicas", "minReadySeconds"),
        *selector("deployment", "invalid label selector"),
        selected(_TEMPLATE),
        immutable("selector"),
    ),
    "apps.v1.ReplicaSet/status": (_STATUS,),
    "apps.v1.ReplicaSetStatus": (
        not_negative("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
        not_negative("observedGeneration", "terminatingReplicas"),
        within("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", shown="status.replicas"),
        within("readyReplicas", "availableReplicas", shown="readyReplicas"),
    ),
    "apps.v1.DaemonSet": (_SPEC,),
    "apps.v1.DaemonSetSpec": (
        immutable("selector"),
        "selector",
        hook(_daemon_selector),
        _TEMPLATE,
        lifelong("DaemonSet"),
        not_negative("minReadySeconds"),
        inside("updateStrategy", always=True),
        not_negative("revisionHistoryLimit"),
    ),
    "apps.v1.DaemonSetUpdateStrategy": (hook(_daemon_update),),
    "apps.v1.DaemonSet/status": (_STATUS,),
    "apps.v1.DaemonSetStatus": (
        not_negative("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"),
        not_negative("observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable"),
        not_negative("collisionCount"),
        never_less("collisionCount"),
    ),
    "apps.v1.StatefulSet": (_SPEC,),
    "apps.v1.StatefulSetSpec": (
        *_stateful(_held_against(inside("template", always=True, made=_as_made))),
        changed(_stateful_change),
    ),
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": (
        enum("whenDeleted", ("Retain", "Delete"), "refuse"),
        enum("whenScaled", ("Retain", "Delete"), "refuse"),
    ),
    "apps.v1.StatefulSetOrdinals": (not_negative("start"),),
    "apps.v1.StatefulSet/status": (_STATUS,),
    "apps.v1.StatefulSetStatus": (
        not_negative("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
        not_negative("observedGeneration", "collisionCount"),
        within("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", shown="status.replicas"),
        within("replicas", "availableReplicas", shown="status.replicas"),
        within("readyReplicas", "availableReplicas", shown="status.readyReplicas"),
        never_less("collisionCount"),
    ),
    "apps.v1.ControllerRevision": (not_negative("revision"), created(_data), immutable("data")),
}
