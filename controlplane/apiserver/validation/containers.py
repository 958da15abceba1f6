"""Containers of every sort."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.validation import mounts, probes, resources, security
from controlplane.apiserver.validation.fields import (
    Found,
    Obj,
    config_key,
    each,
    enum,
    env_name,
    name,
    port_name,
    port_number,
)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def containers(path: str, spec: Obj, volumes: dict[str, Obj], claims: list[str]) -> Found:
    """spec.containers: at least one, each with a name of its own."""
    listed = spec.get("containers") or []
    if not listed:
        return [errors.required(path)]
    found: Found = []
    seen: set[str] = set()
    grace = spec.get("terminationGracePeriodSeconds", 30)
    for index, container in enumerate(listed):
        where = f"{path}[{index}]"
        found += common(where, container, spec, volumes, claims, seen)
        found += _probes(where, container, grace)
        found += _restart_rules(where, container)
    return found + _host_ports(path, listed)


def init_containers(path: str, spec: Obj, volumes: dict[str, Obj], claims: list[str]) -> Found:
    found: Found = []
    seen = {c.get("name") or "" for c in spec.get("containers") or ()}
    grace = spec.get("terminationGracePeriodSeconds", 30)
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}[{index}]"
        sidecar = container.get("restartPolicy") == "Always"
        found += common(where, container, spec, volumes, claims, seen)
        if sidecar:
            found += _probes(where, container, grace)
        else:
            text = "may not be set for init containers without restartPolicy=Always"
            for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if container.get(field) is not None:
                    found.append(errors.field_forbidden(f"{where}.{field}", text))
        found += _restart_rules(where, container)
        found += _host_ports(where, [container], single=True)
    return found


def common(path: str, container: Obj, spec: Obj, volumes: dict[str, Obj], claims: list[str], seen: set[str]) -> Found:
    title, image = container.get("name") or "", container.get("image") or ""
    found: Found = []
    if not title:
        found.append(errors.required(f"{path}.name"))
    else:
        texts = formats.dns1123_label(title)
        found += each(f"{path}.name", title, texts)
    if title in seen and title:
        found.append(errors.duplicate(f"{path}.name", title))
    seen.add(title)
    if not image:
        found.append(errors.required(f"{path}.image"))
    elif image != image.strip():
        text = "must not have leading or trailing whitespace"
        found.append(errors.invalid(f"{path}.image", image, text))
    policy = container.get("terminationMessagePolicy")
    found += enum(f"{path}.terminationMessagePolicy", policy, ("File", "FallbackToLogsOnError"))
    found += _ports(f"{path}.ports", container.get("ports") or [], bool(spec.get("hostNetwork")))
    found += env(f"{path}.env", container.get("env") or [])
    found += _env_from(f"{path}.envFrom", container.get("envFrom") or [])
    found += mounts.mounts(path, container, volumes)
    found += mounts.devices(path, container, volumes)
    found += enum(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    found += resources.requirements(f"{path}.resources", container.get("resources"), claims)
    found += _resize(f"{path}.resizePolicy", container.get("resizePolicy") or [])
    return found + security.container(f"{path}.securityContext", container.get("securityContext"), spec)


def _probes(path: str, container: Obj, grace: int) -> Found:
    found = probes.lifecycle(f"{path}.lifecycle", container.get("lifecycle"), grace)
    found += probes.probe(f"{path}.livenessProbe", container.get("livenessProbe"), grace, once=True)
    readiness = container.get("readinessProbe")
    found += probes.probe(f"{path}.readinessProbe", readiness, grace, once=False)
    if readiness and readiness.get("terminationGracePeriodSeconds") is not None:
        seconds = readiness["terminationGracePeriodSeconds"]
        where = f"{path}.readinessProbe.terminationGracePeriodSeconds"
        found.append(errors.invalid(where, seconds, "must not be set for readinessProbes"))
    return found + probes.probe(f"{path}.startupProbe", container.get("startupProbe"), grace, once=True)


def _restart_rules(path: str, container: Obj) -> Found:
    found: Found = []
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None and rules:
        text = "must specify restartPolicy when restart rules are used"
        found.append(errors.required(f"{path}.restartPolicy", text))
    elif policy is not None:
        found += enum(f"{path}.restartPolicy", policy, ("Always", "Never", "OnFailure"))
    for index, rule in enumerate(rules):
        where = f"{path}.restartPolicyRules[{index}]"
        found += enum(f"{where}.action", rule.get("action") or "", ("Restart", "RestartAllContainers"))
        codes = rule.get("exitCodes")
        if codes is None:
            found.append(errors.required(f"{where}.exitCodes", "must be specified"))
        else:
            found += enum(f"{where}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
    return found


def _ports(path: str, ports: list[Obj], host_network: bool) -> Found:
    found: Found = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        if title := port.get("name"):
            if texts := port_name(title):
                found += each(f"{where}.name", title, texts)
            elif title in names:
                found.append(errors.duplicate(f"{where}.name", title))
            names.add(title)
        if not port.get("containerPort"):
            found.append(errors.required(f"{where}.containerPort"))
        else:
            found += port_number(f"{where}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            found += port_number(f"{where}.hostPort", port["hostPort"])
            if host_network and port["hostPort"] != port.get("containerPort"):
                text = "must match `containerPort` when `hostNetwork` is true"
                found.append(errors.invalid(f"{where}.hostPort", port["hostPort"], text))
        if not port.get("protocol"):
            found.append(errors.required(f"{where}.protocol"))
        else:
            found += enum(f"{where}.protocol", port["protocol"], PROTOCOLS)
    return found


def _host_ports(path: str, listed: list[Obj], single: bool = False) -> Found:
    """No two containers may want the same port of the node."""
    found: Found = []
    taken: set[str] = set()
    for index, container in enumerate(listed):
        for at, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in taken:
                where = path if single else f"{path}[{index}]"
                found.append(errors.duplicate(f"{where}.ports[{at}].hostPort", key))
            taken.add(key)
    return found


def env(path: str, variables: list[Obj]) -> Found:
    found: Found = []
    for index, variable in enumerate(variables):
        where = f"{path}[{index}]"
        found += name(f"{where}.name", variable.get("name"), env_name)
        source = variable.get("valueFrom")
        if source is not None:
            found += _source(f"{where}.valueFrom", variable, source)
    return found


def _source(path: str, variable: Obj, source: Obj) -> Found:
    found: Found = []
    given = [field for field in _SOURCES if source.get(field) is not None]
    for field in given:
        found += _reference(f"{path}.{field}", field, source[field])
    if not given:
        listed = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        )
        found.append(errors.invalid(path, "", listed))
    elif variable.get("value"):
        found.append(errors.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        found.append(errors.invalid(path, "", "may not have more than one field specified at a time"))
    return found


def _reference(path: str, field: str, source: Obj) -> Found:
    if field == "fieldRef":
        return field_reference(path, source, _ENV_FIELDS)
    if field == "resourceFieldRef":
        return resource_reference(path, source, volume=False)
    found: Found = []
    if field != "fileKeyRef" and not source.get("name"):
        found.append(errors.required(f"{path}.name"))
    if not source.get("key"):
        found.append(errors.required(f"{path}.key"))
    elif field != "fileKeyRef":
        found += each(f"{path}.key", source["key"], config_key(source["key"]))
    return found


def field_reference(path: str, source: Obj, allowed: tuple[str, ...]) -> Found:
    """A downward API field."""
    if not source.get("apiVersion"):
        return [errors.required(f"{path}.apiVersion")]
    target = source.get("fieldPath") or ""
    if not target:
        return [errors.required(f"{path}.fieldPath")]
    base, _, key = target.partition("['")
    if key:
        if base not in ("metadata.annotations", "metadata.labels"):
            text = "does not support subscript"
            return [errors.invalid(f"{path}.fieldPath", target, f"error converting fieldPath: {text}")]
        return each(path, key[:-2], formats.qualified_name(key[:-2]))
    if target in allowed:
        return []
    known = (*_ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy")
    if target not in known:
        text = f"error converting fieldPath: field label not supported: {target}"
        return [errors.invalid(f"{path}.fieldPath", target, text)]
    return [errors.not_supported(f"{path}.fieldPath", target, allowed)]


def resource_reference(path: str, source: Obj, volume: bool) -> Found:
    """An amount of a container's resources."""
    found: Found = []
    if volume and not source.get("containerName"):
        found.append(errors.required(f"{path}.containerName"))
    resource = source.get("resource") or ""
    if not resource:
        return [*found, errors.required(f"{path}.resource")]
    if resource not in _RESOURCE_FIELDS and not resource.partition(".")[2].startswith("hugepages-"):
        return [*found, errors.not_supported(f"{path}.resource", resource, _RESOURCE_FIELDS)]
    divisor = source.get("divisor") or "0"
    if resource.endswith(".cpu") and divisor not in ("0", "1m", "1"):
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
        found.append(errors.invalid(f"{path}.divisor", resource, text))
    return found


def _env_from(path: str, sources: list[Obj]) -> Found:
    found: Found = []
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        if prefix := source.get("prefix"):
            found += each(f"{where}.prefix", prefix, env_name(prefix))
        given = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        for field in given:
            if not source[field].get("name"):
                found.append(errors.required(f"{where}.{field}.name"))
        if not given:
            found.append(errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            found.append(errors.invalid(path, "", "may not have more than one field specified at a time"))
    return found


def _resize(path: str, policies: list[Obj]) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource = policy.get("resourceName") or ""
        if resource in seen:
            found.append(errors.duplicate(f"{path}[{index}]", resource))
        seen.add(resource)
        found += enum(path, resource, ("cpu", "memory"))
        found += enum(path, policy.get("restartPolicy") or "", ("NotRequired", "RestartContainer"))
    return found
