"""HorizontalPodAutoscalers: annotations that carry fields between versions are none of the object's own."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver import defaults
from controlplane.apiserver.conversion.autoscaling import drop_luggage


def default(autoscaler: Obj) -> None:
    drop_luggage(autoscaler)
    defaults.apply(autoscaler)
