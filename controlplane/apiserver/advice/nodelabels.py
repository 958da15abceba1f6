"""Labels of nodes that have other names today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apimachinery import formats
from apimachinery.objects import Obj

OLD: Mapping[str, str] = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def term(path: str, value: Obj, values: bool = False) -> Iterator[str]:
    """About a NodeSelectorTerm; values: also about values that no label can have."""
    for index, expression in enumerate(value.get("matchExpressions") or ()):
        where, key = f"{path}.matchExpressions[{index}]", expression.get("key")
        if key in OLD:
            yield f"{where}.key: {key} is {OLD[key]}"
        for place, text in enumerate((expression.get("values") or ()) if values else ()):
            for wrong in formats.label_value(text):
                yield f"{where}.values[{place}]: {text} is invalid, {wrong}"


def selector(path: str, value: Obj) -> Iterator[str]:
    """About a LabelSelector of nodes."""
    yield from term(path, value)
    for key in sorted(value.get("matchLabels") or ()):
        if key in OLD:
            yield f"{path}.matchLabels.{key}: {OLD[key]}"
