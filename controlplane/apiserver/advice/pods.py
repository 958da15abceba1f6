"""What is odd about a pod, or about a template of pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import errors, formats, quantity
from apimachinery.objects import Obj
from controlplane.apiserver.advice import addresses, nodelabels, paths

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
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    # Here upstream looks at the claim of an ephemeral volume.
    "ephemeral": "",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SHOWN = {"storageos": "storageOS"}
_SECCOMP_POD, _SECCOMP = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_TEXT = 'non-functional in v1.27+; use the "seccompProfile" field instead'
APP_ARMOR_TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_LONGEST_PROFILE = 4095
_NO_MATCH = "a null labelSelector results in matching no pod"
_BYTES = ("memory", "ephemeral-storage")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def pod(obj: Obj, old: Obj | None) -> list[str]:
    """Of a new Pod: an update can change little, and there are many."""
    if old is not None:
        return []
    return [*hostname(obj, "the Pod's hostname"), *_told("", obj)]


def pod_sent(obj: Obj) -> Iterator[str]:
    """Of profiles that only annotations name, or that none can be made of."""
    spec, annotations = obj.get("spec") or {}, obj["metadata"].get("annotations") or {}
    if not annotations or (spec.get("os") or {}).get("name") == "windows":
        return
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    for _, container in _containers("spec", spec):
        key = APP_ARMOR + (container.get("name") or "")
        if key in annotations and not (container.get("securityContext") or {}).get("appArmorProfile"):
            profile = app_armor_profile(annotations[key])
            if profile is None or profile != whole:
                yield f"metadata.annotations[{key}]: {APP_ARMOR_TEXT}"


def pod_status(obj: Obj, old: Obj) -> Iterator[str]:
    """Of what a node tells about a Pod."""
    for field in ("podIPs", "hostIPs"):
        for index, entry in enumerate((obj.get("status") or {}).get(field) or ()):
            yield from addresses.address(f"status.{field}[{index}].ip", entry.get("ip") or "")


def hostname(obj: Obj, where: str) -> Iterator[str]:
    """Of a name that becomes one of a host."""
    if wrong := formats.dns1123_label(obj["metadata"].get("name") or ""):
        what = f"this is used in {where}, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {what}: [{' '.join(wrong)}]"


def template(path: str, value: Obj | None) -> list[str]:
    """Of a PodTemplateSpec at a path."""
    return list(_told(f"{path}.", value)) if value else []


def claim(path: str, spec: Obj) -> Iterator[str]:
    """Of a PersistentVolumeClaimSpec at a path."""
    resources = spec.get("resources") or {}
    for field in ("requests", "limits"):
        yield from fraction(f"{path}.resources.{field}[storage]", (resources.get(field) or {}).get("storage"))


def _told(prefix: str, value: Obj) -> Iterator[str]:
    spec, annotations = value.get("spec") or {}, (value.get("metadata") or {}).get("annotations") or {}
    yield from _node_labels(f"{prefix}spec", spec)
    yield from _spread(f"{prefix}spec.topologySpreadConstraints", spec)
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{prefix}metadata.annotations[{key}]: {text}"
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(f"{prefix}spec.volumes[{index}]", volume)
    for volume in spec.get("volumes") or ():
        yield from paths.volume(volume)
    yield from _repeats(f"{prefix}spec", spec)
    for name in _BYTES:
        yield from fraction(f"{prefix}spec.overhead[{name}]", (spec.get("overhead") or {}).get(name))
    if not (spec.get("securityContext") or {}).get("seccompProfile") and _SECCOMP_POD in annotations:
        yield f"{prefix}metadata.annotations[{_SECCOMP_POD}]: {_SECCOMP_TEXT}"
    for path, container in _containers(f"{prefix}spec", spec):
        yield from _annotated(prefix, spec, container, annotations)
        yield from _container(path, container)
    yield from _ports(f"{prefix}spec", spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{prefix}spec.terminationGracePeriodSeconds: {text}"
    yield from _affinity(f"{prefix}spec.affinity", spec.get("affinity") or {})
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from addresses.address(f"{prefix}spec.dnsConfig.nameservers[{index}]", server)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from addresses.address(f"{prefix}spec.hostAliases[{index}].ip", alias.get("ip") or "")


def _volume(path: str, volume: Obj) -> Iterator[str]:
    for kind, text in VOLUMES.items():
        if volume.get(kind) is None:
            continue
        if text:
            yield f"{path}.{SHOWN.get(kind, kind)}: {text}"
        elif (template := volume[kind].get("volumeClaimTemplate")) is not None:
            yield from claim(f"{path}.ephemeral.volumeClaimTemplate.spec", template.get("spec") or {})


def _containers(path: str, spec: Obj) -> Iterator[tuple[str, Obj]]:
    for field in _CONTAINERS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{index}]", container


def _node_labels(path: str, spec: Obj) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or {}):
        if key in nodelabels.OLD:
            yield f"{path}.nodeSelector[{key}]: {nodelabels.OLD[key]}"
    rules = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    for index, term in enumerate((rules.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        yield from nodelabels.term(f"{where}.{_REQUIRED}.nodeSelectorTerms[{index}]", term)
    for index, entry in enumerate(rules.get(_PREFERRED) or ()):
        yield from nodelabels.term(f"{where}.{_PREFERRED}[{index}].preference", entry.get("preference") or {}, True)


def _spread(path: str, spec: Obj) -> Iterator[str]:
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = constraint.get("topologyKey")
        if key in nodelabels.OLD:
            yield f"{path}[{index}].topologyKey: {key} is {nodelabels.OLD[key]}"
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


def fraction(path: str, text: str | None) -> Iterator[str]:
    """Of an amount of bytes."""
    if text is not None and (value := quantity.parse(text)).milli() % 1000:
        yield f'{path}: fractional byte value "{value}" is invalid, must be an integer'


def app_armor_profile(said: str) -> Obj | None:
    """The profile that an annotation means; None for one that means none."""
    if said in ("unconfined", "runtime/default"):
        return {"type": "Unconfined" if said == "unconfined" else "RuntimeDefault"}
    local = said.removeprefix("localhost/")
    valid = local and local != said and local == local.strip() and len(local.encode()) <= _LONGEST_PROFILE
    return {"type": "Localhost", "localhostProfile": local} if valid else None


def _annotated(prefix: str, spec: Obj, container: Obj, annotations: Obj) -> Iterator[str]:
    """Profiles named the old way: pods are told of AppArmor elsewhere, templates here."""
    name, own = container.get("name") or "", container.get("securityContext") or {}
    if not own.get("seccompProfile") and _SECCOMP + name in annotations:
        yield f"{prefix}metadata.annotations[{_SECCOMP}{name}]: {_SECCOMP_TEXT}"
    said = annotations.get(APP_ARMOR + name)
    if prefix and said is not None and not own.get("appArmorProfile"):
        whole = (spec.get("securityContext") or {}).get("appArmorProfile")
        if whole is None or whole != app_armor_profile(said):
            yield f"{prefix}metadata.annotations[{APP_ARMOR}{name}]: {APP_ARMOR_TEXT}"


def _container(path: str, container: Obj) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in _BYTES:
        for field in ("limits", "requests"):
            yield from fraction(f"{path}.resources.{field}[{name}]", (resources.get(field) or {}).get(name))
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
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{here}: hostIP set without hostPort: {_as_struct(port)}"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for there, other in others:
                if how := _clash(port, other):
                    yield f"{here}: {how} port definition with {there}"
            others.append((here, port))
    names: dict[str, str] = {}
    for where, container in _containers(path, spec):
        for index, port in enumerate(container.get("ports") or ()):
            here, name = f"{where}.ports[{index}]", port.get("name")
            if name and names.setdefault(name, here) != here:
                first = names[name]
                what = f"services and probes that select ports by name will use {first}"
                yield f"{here}: duplicate port name {errors.quoted(name)} with {first}, {what}"


def _as_struct(port: Obj) -> str:
    """A port as Go prints its struct."""
    fields = (("name", ""), ("hostPort", 0), ("containerPort", 0), ("protocol", ""), ("hostIP", ""))
    return "{" + " ".join(f"{name[:1].upper()}{name[1:]}:{port.get(name, zero)}" for name, zero in fields) + "}"


def _clash(port: Obj, other: Obj) -> str:
    number, address = port.get("hostPort") or 0, port.get("hostIP") or ""
    its_number, its_address = other.get("hostPort") or 0, other.get("hostIP") or ""
    if (number, address) == (its_number, its_address):
        return "duplicate"
    if not number or not its_number:
        return "overlapping"
    return "dangerously ambiguous" if number == its_number and bool(address) != bool(its_address) else ""
