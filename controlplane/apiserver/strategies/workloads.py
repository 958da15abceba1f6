"""Workloads: what the server itself writes into them."""

from __future__ import annotations

from apimachinery.numerals import INT64, whole
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.strategy import keep_spec
from controlplane.apiserver.strategies import gates

_TEMPLATE = "deprecated.daemonset.template.generation"
_CONTROLLER_UID, _JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


# Workloads of which the server sees to their template alone.
template_created, template_changed = gates.template("spec", "template")
pod_template_created, pod_template_changed = gates.template("template")
cron_job_created, cron_job_changed = gates.template("spec", "jobTemplate", "spec", "template")


def daemon_set_created(daemon_set: Obj) -> None:
    template_created(daemon_set)
    annotations = daemon_set["metadata"].setdefault("annotations", {})
    annotations[_TEMPLATE] = str(max(1, _generation(annotations)))


def _generation(annotations: Obj) -> int:
    """What a DaemonSet's author says of its template's generation."""
    number = whole(annotations.get(_TEMPLATE) or "")
    return number if number is not None and number < INT64 else 0


def daemon_set_changed(new: Obj, old: Obj) -> None:
    """The template's own generation, kept in an annotation since the field is gone."""
    template_changed(new, old)
    standing = int((old["metadata"].get("annotations") or {}).get(_TEMPLATE) or 1)
    if new["spec"].get("template") != old["spec"].get("template"):
        standing += 1
    new["metadata"].setdefault("annotations", {})[_TEMPLATE] = str(standing)


def daemon_set_status(new: Obj, old: Obj) -> None:
    """The template's generation is a part of the spec, whatever its annotation says."""
    keep_spec(new, old)
    standing = (old["metadata"].get("annotations") or {}).get(_TEMPLATE)
    if standing is not None:
        new["metadata"].setdefault("annotations", {})[_TEMPLATE] = standing


def stateful_set_created(stateful_set: Obj) -> None:
    template_created(stateful_set)
    _one_at_a_time(stateful_set)


def _one_at_a_time(stateful_set: Obj) -> None:
    """Rolling several pods at once is behind a feature gate that is off."""
    (stateful_set["spec"]["updateStrategy"].get("rollingUpdate") or {}).pop("maxUnavailable", None)


def stateful_set_changed(new: Obj, old: Obj) -> None:
    template_changed(new, old)
    if "maxUnavailable" not in (old["spec"]["updateStrategy"].get("rollingUpdate") or {}):
        _one_at_a_time(new)


def job_created(job: Obj) -> None:
    """A Job selects its pods by its own uid unless its author says otherwise."""
    template_created(job)
    spec = job["spec"]
    if spec.get("manualSelector"):
        return
    # One without a name is refused for that when it is checked.
    uid, name = job["metadata"]["uid"], job["metadata"].get("name", "")
    template = spec.setdefault("template", {})
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    own = {"controller-uid": uid, "job-name": name, _CONTROLLER_UID: uid, _JOB_NAME: name}
    for key, value in own.items():
        labels.setdefault(key, value)
    spec.setdefault("selector", {}).setdefault("matchLabels", {}).setdefault(_CONTROLLER_UID, uid)
