"""HorizontalPodAutoscalers: autoscaling/v1 has a field for CPU alone, the rest of v2 travels in annotations."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.jsontext import spelled_as_go
from apimachinery.objects import Obj
from apimachinery.schema import Schema
from controlplane.apiserver.conversion import metrics
from controlplane.apiserver.conversion.conversion import Conversion

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
TOLERANCES = tuple(f"autoscaling.alpha.kubernetes.io/scale-{way}-tolerance" for way in ("down", "up"))
_ANNOTATIONS = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR, *TOLERANCES)

_KEPT_SPEC = ("scaleTargetRef", "minReplicas", "maxReplicas")
_KEPT_STATUS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
# What upstream's controllers aim at when nobody says anything else: percent of the CPU requested.
_CPU_TARGET = 80
# The order in which upstream writes a condition into the annotation.
_CONDITION = ("type", "status", "lastTransitionTime", "reason", "message")


def to_v1(obj: Obj) -> Obj:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metadata, annotations = _split(obj.get("metadata") or {})
    others = [metrics.to_v1(one) for one in spec.get("metrics") or () if not _cpu_share(one)]
    if others:
        annotations[METRICS] = _text(others)
    if current := status.get("currentMetrics"):
        annotations[CURRENT_METRICS] = _text([metrics.status_to_v1(one) for one in current])
    if spec.get("behavior") is not None:
        annotations[BEHAVIOR] = _text(_capitals(spec["behavior"]))
    if conditions := status.get("conditions"):
        annotations[CONDITIONS] = _text([{key: one[key] for key in _CONDITION if key in one} for one in conditions])
    new_spec = {key: spec[key] for key in _KEPT_SPEC if key in spec}
    cpu = next((one for one in spec.get("metrics") or () if _is_cpu(one)), None)
    if cpu is not None and (share := (cpu["resource"].get("target") or {}).get("averageUtilization")) is not None:
        new_spec["targetCPUUtilizationPercentage"] = share
    new_status = {"currentReplicas": 0, **{key: status[key] for key in _KEPT_STATUS if key in status}}
    for one in status.get("currentMetrics") or ():
        if _is_cpu(one) and (share := (one["resource"].get("current") or {}).get("averageUtilization")) is not None:
            new_status["currentCPUUtilizationPercentage"] = share
    return _made("autoscaling/v1", obj, metadata, annotations, new_spec, new_status)


def to_v2(obj: Obj) -> Obj:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metadata, annotations = _split(obj.get("metadata") or {})
    kept = (obj.get("metadata") or {}).get("annotations") or {}
    new_spec = {key: spec[key] for key in _KEPT_SPEC if key in spec}
    wanted = _read("spec", "metrics", [metrics.from_v1(one) for one in _list(kept.get(METRICS))]) or []
    if (share := spec.get("targetCPUUtilizationPercentage")) is not None:
        wanted.append(_cpu({"target": {"type": "Utilization", "averageUtilization": share}}))
    new_spec["metrics"] = wanted or [_cpu({"target": {"type": "Utilization", "averageUtilization": _CPU_TARGET}})]
    if behavior := _read("spec", "behavior", _small(_loaded(kept.get(BEHAVIOR)))):
        new_spec["behavior"] = behavior
    new_status: Obj = {key: status[key] for key in _KEPT_STATUS if key in status}
    if not new_status.get("currentReplicas"):
        new_status.pop("currentReplicas", None)
    current = [metrics.status_from_v1(one) for one in _list(kept.get(CURRENT_METRICS))]
    new_status["currentMetrics"] = _read("status", "currentMetrics", current)
    share = status.get("currentCPUUtilizationPercentage")
    if not new_status["currentMetrics"] and share is not None:
        new_status["currentMetrics"] = [_cpu({"current": {"averageUtilization": share}})]
    if conditions := _read("status", "conditions", _list(kept.get(CONDITIONS))):
        new_status["conditions"] = conditions
    return _made("autoscaling/v2", obj, metadata, annotations, new_spec, new_status)


def _read(part: str, name: str, value: Any) -> Any:
    """A field of v2 that an annotation held, as its type has it; None when it is empty or of no such type."""
    walker = Schema.load().walker("autoscaling/v2", "HorizontalPodAutoscaler")
    if not value or walker is None:
        return None
    whole: Obj = {part: {name: value}}
    return None if walker.check(whole).error else whole[part].get(name)


def _made(version: str, obj: Obj, metadata: Obj, annotations: Obj, spec: Obj, status: Obj) -> Obj:
    if annotations:
        metadata["annotations"] = annotations
    made = {"kind": obj["kind"], "apiVersion": version, "metadata": metadata, "spec": spec}
    return {**made, "status": {"desiredReplicas": 0, **status}} if "status" in obj else made


def _split(metadata: Obj) -> tuple[Obj, Obj]:
    """The metadata without annotations, and those that are no luggage of a conversion."""
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key not in _ANNOTATIONS}
    return {key: value for key, value in metadata.items() if key != "annotations"}, annotations


def drop_luggage(obj: Obj) -> None:
    """autoscaling/v2 has fields for all of it, and keeps no annotation that a conversion would write; in place."""
    metadata, annotations = _split(obj["metadata"])
    if len(annotations) < len(obj["metadata"].get("annotations") or ()):
        obj["metadata"] = {**metadata, "annotations": annotations} if annotations else metadata


def _is_cpu(metric: Obj) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


def _cpu_share(metric: Obj) -> bool:
    return _is_cpu(metric) and (metric["resource"].get("target") or {}).get("averageUtilization") is not None


def _cpu(rest: Obj) -> Obj:
    return {"type": "Resource", "resource": {"name": "cpu", **rest}}


def _text(value: Any) -> str:
    return spelled_as_go(orjson.dumps(value)).decode()


def _loaded(text: str | None) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def _list(text: str | None) -> list[Obj]:
    """A list of objects out of an annotation; what is none says nothing."""
    value = _loaded(text)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# The annotation holds upstream's internal type, whose fields are spelled with capitals and always written.
_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def _capitals(behavior: Obj) -> Obj:
    return {_big(side): _rules(behavior.get(side)) for side in ("scaleUp", "scaleDown")}


def _rules(rules: Obj | None) -> Obj | None:
    if rules is None:
        return None
    found = {_big(key): rules.get(key) for key in _RULES}
    if found["Policies"] is not None:
        found["Policies"] = [{_big(key): policy.get(key) for key in _POLICY} for policy in found["Policies"]]
    return found


# Of values within each other: the behavior, the rules of a side, their policies, each of these.
_DEPTH = 4


def _small(value: Any, depth: int = _DEPTH) -> Any:
    """The same read back, whatever the case of its names; without what says nothing. What lies deeper than anything of
    the type stays as it is.
    """
    if not depth:
        return value
    if isinstance(value, dict):
        found = {key[:1].lower() + key[1:]: _small(inner, depth - 1) for key, inner in value.items()}
        return {key: inner for key, inner in found.items() if inner is not None}
    return [_small(one, depth - 1) for one in value] if isinstance(value, list) else value


def _big(name: str) -> str:
    return name[0].upper() + name[1:]


V1 = Conversion(shown=to_v1, stored=to_v2)
