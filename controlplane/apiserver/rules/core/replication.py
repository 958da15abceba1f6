"""ReplicationControllers."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, selectors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import hook, not_negative, required, when
from controlplane.apiserver.rules.workloads import labels_of, lifelong, mismatch, within


def _selects(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("template") is None:
        yield errors.required(at.to("template"))
        return
    if spec.get("selector") and not selectors.from_map(spec["selector"]).matches(labels_of(spec["template"])):
        yield mismatch(at, spec["template"])


def _has_template(spec: Obj, at: Place) -> bool:
    return spec.get("template") is not None


RULES: dict[str, Row] = {
    "core.v1.ReplicationController": (inside("spec", always=True),),
    "core.v1.ReplicationControllerSpec": (
        not_negative("minReadySeconds"),
        required("selector"),
        not_negative("replicas"),
        hook(_selects),
        when(_has_template, "template", lifelong("ReplicationController")),
    ),
    "core.v1.ReplicationController/status": (inside("status", always=True),),
    "core.v1.ReplicationControllerStatus": (
        not_negative("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"),
        within("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", shown="status.replicas"),
        within("readyReplicas", "availableReplicas", shown="readyReplicas"),
    ),
}
