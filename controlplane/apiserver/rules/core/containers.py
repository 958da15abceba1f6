"""Containers of every sort."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core import probes
from controlplane.apiserver.rules.core.podspec import spec_of
from controlplane.apiserver.rules.core.volumes import PULL_POLICIES
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import port_name
from controlplane.apiserver.rules.words import enum, forbidden, hook, name, ports, required, unique, when

PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Always", "Never", "OnFailure")
_NO_EPHEMERAL = "cannot be set for an Ephemeral Container"
_NOT_INIT = "may not be set for init containers without restartPolicy=Always"


def _port_name(port: Obj, at: Place) -> Iterator[FieldError]:
    title = port["name"]
    seen = at.seen("names")
    if complaints := port_name(title) if title else ():
        yield from (errors.invalid(at.to("name"), title, text) for text in complaints)
    elif title in seen:
        yield errors.duplicate(at.to("name"), title)
    elif title:
        seen.add(title)


def _resize_policies(container: Obj, at: Place) -> Iterator[FieldError]:
    """Only the second of two carries an index."""
    where, seen = at.to("resizePolicy"), set()
    for index, policy in enumerate(container["resizePolicy"] or ()):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            yield errors.duplicate(f"{where}[{index}]", resource)
        seen.add(resource)
        for value, allowed in ((resource, ("cpu", "memory")), (restart, ("NotRequired", "RestartContainer"))):
            if not value:
                yield errors.required(where)
            elif value not in allowed:
                yield errors.not_supported(where, value, allowed)
        if spec_of(at).get("restartPolicy") == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            yield errors.invalid(where, restart, text)


def _restart_rules(container: Obj, at: Place) -> Iterator[FieldError]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None:
        if not rules:
            return
        yield errors.required(at.to("restartPolicy"), "must specify restartPolicy when restart rules are used")
        if at.name == "initContainers":
            return
    elif policy not in _POLICIES:
        yield errors.not_supported(at.to("restartPolicy"), policy, _POLICIES)
    if len(rules) > 20:
        yield errors.too_many(at.to("restartPolicyRules"), len(rules), 20)
    for index, rule in enumerate(rules):
        where, codes = f"{at.to('restartPolicyRules')}[{index}]", rule.get("exitCodes")
        if rule.get("action") not in ("Restart", "RestartAllContainers"):
            actions = ("Restart", "RestartAllContainers")
            yield errors.not_supported(f"{where}.action", rule.get("action") or "", actions)
        if codes is None:
            yield errors.required(f"{where}.exitCodes", "must be specified")
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            yield errors.not_supported(f"{where}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
        if len(codes.get("values") or ()) > 255:
            yield errors.too_many(f"{where}.exitCodes.values", len(codes["values"]), 255)


def host_ports(containers: list[Obj], path: str) -> Iterator[FieldError]:
    """No two containers may want the same port of the node."""
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
                if key in taken:
                    yield errors.duplicate(f"{path}[{index}].ports[{number}].hostPort", key)
                taken.add(key)


def _named_before(container: Obj, at: Place) -> Iterator[FieldError]:
    """A name that a container of another list, or one before it in its own, has already."""
    title, spec = container.get("name") or "", spec_of(at)
    seen = at.seen("names")
    if at.index == 0:
        others = ("containers",) if at.name == "initContainers" else ("containers", "initContainers")
        seen.update(other.get("name") or "" for field in others for other in spec.get(field) or ())
    if title in seen:
        yield errors.duplicate(at.to("name"), title)
    elif title or at.name == "ephemeralContainers":
        seen.add(title)


def _one_by_one(container: Obj, at: Place) -> Iterator[FieldError]:
    """Init containers run one after the other, so that each is looked at alone."""
    return host_ports([container], at.above().to("initContainers"))


def _sidecar(container: Obj, at: Place) -> bool:
    return bool(container.get("restartPolicy") == "Always")


def _passing(container: Obj, at: Place) -> bool:
    return not _sidecar(container, at)


def _no_restart(container: Obj, at: Place) -> Iterator[FieldError]:
    for index, policy in enumerate(container["resizePolicy"] or ()):
        if policy.get("restartPolicy") == "RestartContainer":
            text = "must not be set to 'RestartContainer' for non-sidecar initContainers"
            yield errors.invalid(f"{at.to('resizePolicy')}[{index}].restartPolicy", "RestartContainer", text)


def padded(container: Obj, path: str) -> Iterator[FieldError]:
    """An image's name with blanks around it; templates may have them."""
    image = container.get("image") or ""
    if image != image.strip():
        yield errors.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _ephemeral(container: Obj, at: Place) -> Iterator[FieldError]:
    target, spec = container.get("targetContainerName") or "", spec_of(at)
    others = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    if target and all(other.get("name") != target for other in others):
        yield errors.field_not_found(at.to("targetContainerName"), target)


def _no_sub_paths(container: Obj, at: Place) -> Iterator[FieldError]:
    for index, mount in enumerate(container["volumeMounts"] or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                yield errors.field_forbidden(f"{at.to('volumeMounts')}[{index}].{field}", _NO_EPHEMERAL)


def _no_resources(container: Obj, at: Place) -> Iterator[FieldError]:
    if container.get("resources"):
        yield errors.field_forbidden(at.to("resources"), _NO_EPHEMERAL)


_ALL: Row = (
    name("name"),
    required("image"),
    enum("terminationMessagePolicy", ("File", "FallbackToLogsOnError"), "required"),
    "ports",
    "env",
    "envFrom",
    "volumeMounts",
    "volumeDevices",
    enum("imagePullPolicy", PULL_POLICIES, "required"),
    inside("resources", always=True),
    hook(_resize_policies, "resizePolicy"),
    "securityContext",
)
_LASTING: Row = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_PROBES = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")

RULES: dict[str, Row] = {
    "core.v1.Container": _ALL,
    "core.v1.PodSpec.containers": (
        unique("name", empty=True),
        *_LASTING,
        hook(_restart_rules, "restartPolicy", "restartPolicyRules"),
    ),
    "core.v1.PodSpec.initContainers": (
        hook(_restart_rules, "restartPolicy", "restartPolicyRules"),
        hook(_named_before),
        hook(_one_by_one, "ports"),
        when(_sidecar, *_LASTING),
        when(_passing, forbidden(*_PROBES, detail=_NOT_INIT), hook(_no_restart, "resizePolicy")),
    ),
    "core.v1.EphemeralContainer": (
        *_ALL,
        hook(lambda container, at: padded(container, at.path)),
        hook(_named_before),
        hook(_ephemeral, "targetContainerName"),
        forbidden("ports", detail=_NO_EPHEMERAL),
        hook(_no_resources),
        forbidden("resizePolicy", "restartPolicy", "restartPolicyRules", detail=_NO_EPHEMERAL),
        forbidden("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", detail=_NO_EPHEMERAL),
        hook(_no_sub_paths, "volumeMounts"),
    ),
    "core.v1.Container.livenessProbe": (hook(probes.once),),
    "core.v1.Container.readinessProbe": (hook(probes.ungraceful),),
    "core.v1.Container.startupProbe": (hook(probes.once),),
    "core.v1.ContainerPort": (
        hook(_port_name, "name"),
        required("containerPort"),
        ports("containerPort", "hostPort"),
        enum("protocol", PROTOCOLS, "required"),
    ),
}
