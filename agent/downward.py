"""The downward API: what a pod may read about itself, as text.

Source: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/ . Used by environment variables, downwardAPI
volumes, projected volumes and subPathExpr alike, so that one table says which fields exist where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from apimachinery.objects import Obj
from apimachinery.quantity import parse as parse_quantity

# Go's %q: short escapes for these, \xNN, \uNNNN or \UNNNNNNNN for what cannot be printed.
_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_DEFAULTED_LIMITS = ("cpu", "memory", "ephemeral-storage")


class FieldPathError(Exception):
    """A fieldRef or resourceFieldRef names something a pod does not have."""


@dataclass(frozen=True)
class PodFacts:
    """What the node knows of a pod beyond its object."""

    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    # Node allocatable as quantity strings; stands in for limits a container does not set.
    allocatable: Mapping[str, str] = field(default_factory=dict)


def quote(text: str) -> str:
    """`text` as Go's strconv.Quote writes it."""
    out = ['"']
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char in _SHORT:
            out.append(_SHORT[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(f"\\U{ord(char):08x}")
    out.append('"')
    return "".join(out)


def format_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as sorted `key="value"` lines, no newline at the end."""
    return "\n".join(f"{key}={quote(values[key])}" for key in sorted(values))


def metadata_field(pod: Obj, path: str) -> str:
    """The value of a `metadata.*` path, with an optional ['key'] for labels and annotations."""
    meta = pod.get("metadata", {})
    base, subscript = _split_subscript(path)
    if subscript is not None:
        if base in ("metadata.labels", "metadata.annotations"):
            return str((meta.get(base.split(".")[1]) or {}).get(subscript, ""))
        raise FieldPathError(f'fieldPath "{path}" does not support subscript')
    if path in ("metadata.labels", "metadata.annotations"):
        return format_map(meta.get(path.split(".")[1]) or {})
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(meta.get(path.split(".")[1], ""))
    raise FieldPathError(f"unsupported fieldPath: {path}")


def pod_field(pod: Obj, path: str, facts: PodFacts) -> str:
    """The value of any fieldPath an environment variable may name."""
    spec = pod.get("spec", {})
    known: dict[str, str] = {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.host": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path in known:
        return str(known[path])
    if not path.startswith("metadata."):
        raise FieldPathError(f"field label not supported: {path}")
    return metadata_field(pod, path)


def resource_field(container: Obj, ref: Obj, allocatable: Mapping[str, str]) -> str:
    """A container's request or limit divided by the divisor and rounded up, in decimal."""
    resource = str(ref.get("resource", ""))
    kind, _, name = resource.partition(".")
    if kind not in ("limits", "requests") or not (name in _DEFAULTED_LIMITS or name.startswith("hugepages-")):
        raise FieldPathError(f"unsupported container resource : {resource}")
    values = (container.get("resources") or {}).get(kind) or {}
    value = values.get(name)
    if value is None and kind == "limits" and name in _DEFAULTED_LIMITS:
        value = allocatable.get(name)
    amount = parse_quantity(value if value is not None else "0")
    divisor = parse_quantity(ref.get("divisor") or "1")
    if divisor.milli() == 0:
        divisor = parse_quantity("1")
    if name == "cpu":
        return str(-(-amount.milli() // divisor.milli()))
    return str(-(-amount.value() // max(divisor.value(), 1)))


def container_named(pod: Obj, name: str) -> Obj:
    """The container or init container called `name`."""
    spec = pod.get("spec", {})
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or []:
            if container.get("name") == name:
                return dict(container)
    raise FieldPathError(f"container {name} not found")


def _split_subscript(path: str) -> tuple[str, str | None]:
    if path.endswith("']") and "['" in path:
        base, _, rest = path.partition("['")
        return base, rest[:-2]
    return path, None
