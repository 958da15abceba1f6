"""What is odd about a pod, or about a template of pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import formats, quantity
from apimachinery.objects import Obj

_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": ('deprecated since v1.17; use "topology.kubernetes.io/region" instead'),
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
# Volume sources on their way out; in upstream's order, under its names.
VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN = {"storageos": "storageOS"}
_SECCOMP_POD, _SECCOMP = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_TEXT = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APP_ARMOR_TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_NO_MATCH = "a null labelSelector results in matching no pod"
_BYTES = ("memory", "ephemeral-storage")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def pod(obj: Obj, old: Obj | None) -> list[str]:
    """Of a new Pod: an update can change little, and there are many."""
    if old is not None:
        return []
    found = []
    if wrong := _hostname(obj["metadata"].get("name") or ""):
        what = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        found.append(f"metadata.name: {what}: [{' '.join(wrong)}]")
    return found + list(_told("", obj))


def _hostname(name: str) -> tuple[str, ...]:
    return ("must not contain dots",) if "." in name else formats.dns1123_label(name)


def template(path: str, value: Obj | None) -> list[str]:
    """Of a PodTemplateSpec at a path."""
    return list(_told(f"{path}.", value)) if value else []


def _told(prefix: str, value: Obj) -> Iterator[str]:
    spec, annotations = value.get("spec") or {}, (value.get("metadata") or {}).get("annotations") or {}
    yield from _node_labels(f"{prefix}spec", spec)
    yield from _spread(f"{prefix}spec.topologySpreadConstraints", spec)
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{prefix}metadata.annotations[{key}]: {text}"
    for index, volume in enumerate(spec.get("volumes") or ()):
        for kind, text in VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{prefix}spec.volumes[{index}].{_SHOWN.get(kind, kind)}: {text}"
    yield from _repeats(f"{prefix}spec", spec)
    for name in _BYTES:
        yield from _fraction(f"{prefix}spec.overhead[{name}]", (spec.get("overhead") or {}).get(name))
    if not (spec.get("securityContext") or {}).get("seccompProfile") and _SECCOMP_POD in annotations:
        yield f"{prefix}metadata.annotations[{_SECCOMP_POD}]: {_SECCOMP_TEXT}"
    for path, container in _containers(f"{prefix}spec", spec):
        yield from _container(path, container)
        yield from _annotated(prefix, spec, container, annotations)
    yield from _ports(f"{prefix}spec", spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{prefix}spec.terminationGracePeriodSeconds: {text}"
    yield from _affinity(f"{prefix}spec.affinity", spec.get("affinity") or {})


def _containers(path: str, spec: Obj) -> Iterator[tuple[str, Obj]]:
    for field in _CONTAINERS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{index}]", container


def _node_labels(path: str, spec: Obj) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or {}):
        if key in _NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {_NODE_LABELS[key]}"
    rules = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    terms = [
        (f"{where}.{_REQUIRED}.nodeSelectorTerms[{index}]", term)
        for index, term in enumerate((rules.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())
    ]
    terms += [
        (f"{where}.{_PREFERRED}[{index}].preference", entry.get("preference") or {})
        for index, entry in enumerate(rules.get(_PREFERRED) or ())
    ]
    for term_path, term in terms:
        for index, expression in enumerate(term.get("matchExpressions") or ()):
            key = expression.get("key")
            if key in _NODE_LABELS:
                yield f"{term_path}.matchExpressions[{index}].key: {key} is {_NODE_LABELS[key]}"


def _spread(path: str, spec: Obj) -> Iterator[str]:
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = constraint.get("topologyKey")
        if key in _NODE_LABELS:
            yield f"{path}[{index}].topologyKey: {key} is {_NODE_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{path}[{index}].labelSelector: {_NO_MATCH}"


def _affinity(path: str, affinity: Obj) -> Iterator[str]:
    for field in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(field) or {}
        for index, term in enumerate(rules.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{field}.{_REQUIRED}[{index}].labelSelector: {_NO_MATCH}"
        for index, entry in enumerate(rules.get(_PREFERRED) or ()):
            if (entry.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{field}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NO_MATCH}"


def _repeats(path: str, spec: Obj) -> Iterator[str]:
    for field, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        seen = set()
        for index, entry in enumerate(spec.get(field) or ()):
            value = entry.get(key) or ""
            if value in seen:
                yield f'{path}.{field}[{index}].{key}: duplicate {key} "{value}"'
            seen.add(value)
    for index, entry in enumerate(spec.get("imagePullSecrets") or ()):
        if not entry.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _fraction(path: str, text: str | None) -> Iterator[str]:
    if text is not None and (value := quantity.parse(text)).milli() % 1000:
        yield f'{path}: fractional byte value "{value}" is invalid, must be an integer'


def _annotated(prefix: str, spec: Obj, container: Obj, annotations: Obj) -> Iterator[str]:
    """Profiles named the old way: pods are told of AppArmor elsewhere, templates here."""
    name, own = container.get("name") or "", container.get("securityContext") or {}
    if not own.get("seccompProfile") and _SECCOMP + name in annotations:
        yield f"{prefix}metadata.annotations[{_SECCOMP}{name}]: {_SECCOMP_TEXT}"
    profiled = (spec.get("securityContext") or {}).get("appArmorProfile") or own.get("appArmorProfile")
    if prefix and not profiled and _APP_ARMOR + name in annotations:
        yield f"{prefix}metadata.annotations[{_APP_ARMOR}{name}]: {_APP_ARMOR_TEXT}"


def _container(path: str, container: Obj) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in _BYTES:
        for field in ("limits", "requests"):
            yield from _fraction(f"{path}.resources.{field}[{name}]", (resources.get(field) or {}).get(name))
    seen = set()
    for index, entry in enumerate(container.get("env") or ()):
        name, value = entry.get("name") or "", entry.get("value") or ""
        own = f"$({name})"
        if name in seen and (entry.get("valueFrom") is not None or value == own or own not in value):
            what = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path}.env[{index}]: {what}"
        seen.add(name)


def _ports(path: str, spec: Obj) -> Iterator[str]:
    known: dict[tuple[Any, Any], list[tuple[str, Obj]]] = {}
    for where, container in _containers(path, spec):
        for index, port in enumerate(container.get("ports") or ()):
            here = f"{where}.ports[{index}]"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for there, other in others:
                if how := _clash(port, other):
                    yield f"{here}: {how} port definition with {there}"
            others.append((here, port))


def _clash(port: Obj, other: Obj) -> str:
    number, address = port.get("hostPort") or 0, port.get("hostIP") or ""
    its_number, its_address = other.get("hostPort") or 0, other.get("hostIP") or ""
    if (number, address) == (its_number, its_address):
        return "duplicate"
    if not number or not its_number:
        return "overlapping"
    return "dangerously ambiguous" if number == its_number and bool(address) != bool(its_address) else ""
