"""Deployments and their kin: replicas, selectors, templates, strategies."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import errors, formats, selectors
from controlplane.apiserver.rules.tables import rules
from controlplane.apiserver.rules.values import NOT_NEGATIVE, Found, Obj, each, enum, label_selector, not_negative

_PERCENT = re.compile(r"[0-9]+%\Z")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
    "used for validation is '[0-9]+%')"
)


def deployment(obj: Obj) -> Found:
    spec = obj["spec"]
    found = not_negative("spec.replicas", spec.get("replicas"))
    found += _selected(spec, "deployment", shown="spec.selector")
    strategy = spec.get("strategy") or {}
    found += _strategy("spec.strategy", strategy)
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        found += not_negative(f"spec.{field}", spec.get(field))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        found += not_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= (spec.get("minReadySeconds") or 0) or deadline < 0:
            text = "must be greater than minReadySeconds"
            found.append(errors.invalid("spec.progressDeadlineSeconds", deadline, text))
    return found


def replica_set(obj: Obj) -> Found:
    spec = obj["spec"]
    found = not_negative("spec.replicas", spec.get("replicas"))
    found += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return found + _selected(spec, "replicaset", shown="spec.selector")


def replication_controller(obj: Obj) -> Found:
    spec = obj["spec"]
    found = not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    selector = spec.get("selector")
    if not selector:
        found.append(errors.required("spec.selector"))
    found += not_negative("spec.replicas", spec.get("replicas"))
    if spec.get("template") is None:
        return [*found, errors.required("spec.template")]
    labels = _labels(spec["template"])
    if selector and not selectors.from_map(selector).matches(labels):
        found.append(_mismatch("spec.template.metadata.labels", labels))
    return found + _template("spec.template", spec["template"], "ReplicationController")


def stateful_set(obj: Obj) -> Found:
    spec = obj["spec"]
    found = _stateful_set(spec, _as_made(spec))
    if spec.get("serviceName"):
        found += each("spec.serviceName", spec["serviceName"], formats.dns1123_label(spec["serviceName"]))
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        found += rules().of_type(
            "core.v1.PersistentVolumeClaimSpec",
            f"spec.volumeClaimTemplates[{index}].spec",
            claim.get("spec") or {},
            "StatefulSet",
        )
    return found


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


def _stateful_set(spec: Obj, template: Obj | None) -> Found:
    """All that is checked whenever a StatefulSet is written; `template` None: not to be checked."""
    found: Found = []
    management = spec.get("podManagementPolicy") or ""
    if management not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        found.append(errors.invalid("spec.podManagementPolicy", management, text))
    update = spec.get("updateStrategy") or {}
    rolling = update.get("rollingUpdate")
    if update.get("type") not in ("RollingUpdate", "OnDelete"):
        shown = {"Type": update.get("type") or "", "RollingUpdate": rolling}
        found.append(errors.invalid("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'"))
    elif update["type"] == "OnDelete" and rolling is not None:
        shown = {"Partition": rolling.get("partition"), "MaxUnavailable": rolling.get("maxUnavailable")}
        text = "only allowed for updateStrategy 'RollingUpdate'"
        found.append(errors.invalid("spec.updateStrategy.rollingUpdate", shown, text))
    elif rolling is not None:
        found += not_negative("spec.updateStrategy.rollingUpdate.partition", rolling.get("partition"))
    policy = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        if field in policy:
            where = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            found += enum(where, policy[field], ("Retain", "Delete"))
    found += not_negative("spec.replicas", spec.get("replicas"))
    found += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    found += not_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    found += _selector(spec, "statefulset", shown="spec.selector")
    return found if template is None else found + _template("spec.template", template, "StatefulSet")


def daemon_set(obj: Obj) -> Found:
    spec = obj["spec"]
    selector = spec.get("selector")
    found = label_selector("spec.selector", selector)
    labels = _labels(spec.get("template") or {})
    if not _matches(selector, labels):
        found.append(_mismatch("spec.template.metadata.labels", labels))
    if selector is not None and not selector:
        found.append(errors.invalid("spec.selector", {}, "empty selector is invalid for daemonset"))
    found += _template("spec.template", spec.get("template") or {}, "DaemonSet")
    found += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    update = spec.get("updateStrategy") or {}
    kind, rolling = update.get("type"), update.get("rollingUpdate")
    if kind not in ("RollingUpdate", "OnDelete"):
        shown = {"Type": kind or "", "RollingUpdate": rolling}
        found.append(errors.not_supported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete")))
    elif kind == "RollingUpdate" and rolling is not None:
        found += _surge(rolling)
    return found + not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _surge(rolling: Obj) -> Found:
    where = "spec.updateStrategy.rollingUpdate"
    surge, down = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    found = int_or_percent(f"{where}.maxUnavailable", down) + int_or_percent(f"{where}.maxSurge", surge)
    if not found and _some(surge) and _some(down):
        text = "may not be set when maxUnavailable is non-zero"
        found.append(errors.invalid(f"{where}.maxSurge", surge, text))
    elif not found and not _some(surge) and not _some(down):
        text = "cannot be 0 when maxSurge is 0"
        found.append(errors.invalid(f"{where}.maxUnavailable", down, text))
    return found


def _some(value: Any) -> bool:
    return value not in (None, 0, "0%")


def _strategy(path: str, strategy: Obj) -> Found:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            return [errors.field_forbidden(f"{path}.rollingUpdate", text)]
        return []
    if kind != "RollingUpdate":
        shown = {"Type": kind or "", "RollingUpdate": rolling}
        return [errors.not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    rolling = rolling or {}
    down, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    where = f"{path}.rollingUpdate"
    found = int_or_percent(f"{where}.maxUnavailable", down) + int_or_percent(f"{where}.maxSurge", surge)
    if not _some(down) and not _some(surge):
        text = "may not be 0 when `maxSurge` is 0"
        found.append(errors.invalid(f"{where}.maxUnavailable", down, text))
    return found + at_most_all(f"{where}.maxUnavailable", down)


def at_most_all(path: str, value: Any) -> Found:
    """A share of something that cannot be more than all of it."""
    if isinstance(value, str) and _PERCENT.match(value) and int(value[:-1]) > 100:
        return [errors.invalid(path, value, "must not be greater than 100%")]
    return []


def int_or_percent(path: str, value: Any) -> Found:
    if isinstance(value, str):
        return [] if _PERCENT.match(value) else [errors.invalid(path, value, _PERCENT_TEXT)]
    return [errors.invalid(path, value, NOT_NEGATIVE)] if (value or 0) < 0 else []


def _selected(spec: Obj, what: str, shown: str) -> Found:
    """A selector, and a template that it selects."""
    template = spec.get("template") or {}
    return _selector(spec, what, shown) + _template("spec.template", template)


def _selector(spec: Obj, what: str, shown: str) -> Found:
    """A selector, and whether it selects the template."""
    selector = spec.get("selector")
    found: Found = []
    usable = True
    if selector is None:
        found.append(errors.required(shown))
    else:
        wrong = label_selector(shown, selector)
        found += wrong
        if not selector:
            found.append(errors.invalid(shown, {}, f"empty selector is invalid for {what}"))
            usable = False
        if wrong:
            found.append(errors.invalid(shown, selector, "invalid label selector"))
            usable = False
    labels = _labels(spec.get("template") or {})
    if usable and not _matches(selector, labels):
        found.append(_mismatch("spec.template.metadata.labels", labels))
    return found


def _matches(selector: Obj | None, labels: Obj) -> bool:
    try:
        return selectors.from_label_selector(selector).matches(labels)
    except selectors.SelectorError:
        return False


def _labels(template: Obj) -> Obj:
    found: Obj = (template.get("metadata") or {}).get("labels") or {}
    return found


def _mismatch(path: str, labels: Obj) -> errors.FieldError:
    return errors.invalid(path, dict(sorted(labels.items())) or None, "`selector` does not match template `labels`")


def _template(path: str, template: Obj, owner: str = "ReplicaSet") -> Found:
    found = rules().of_type("core.v1.PodTemplateSpec", path, template, owner)
    spec = template.get("spec") or {}
    policy = spec.get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        found.append(errors.not_supported(f"{path}.spec.restartPolicy", policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {owner} is not Supported"
        found.append(errors.field_forbidden(f"{path}.spec.activeDeadlineSeconds", text))
    return found


def frozen_selector(new: Obj, old: Obj) -> Found:
    """The selector of a workload cannot change."""
    if new["spec"].get("selector") != old["spec"].get("selector"):
        return [errors.immutable("spec.selector", new["spec"].get("selector"))]
    return []


_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def stateful_set_change(new: Obj, old: Obj) -> Found:
    # What was let in earlier and cannot change is not held against a change of something else.
    sound = not _stateful_set(old["spec"], _as_made(old["spec"]))
    found = _stateful_set(new["spec"], _as_made(new["spec"]) if sound else None)
    fixed = {k: v for k, v in new["spec"].items() if k not in _STATEFUL_FREE}
    was = {k: v for k, v in old["spec"].items() if k not in _STATEFUL_FREE}
    if fixed != was:
        text = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden"
        )
        found.append(errors.field_forbidden("spec", text))
    return found
