"""Environment of a container: a pure function of the pod and of the objects it refers to.

Source: https://kubernetes.io/docs/tasks/inject-data-application/ . Order of precedence, lowest first: service
variables, envFrom in order, env in order. A failure is a ConfigError, which the runtime reports as
CreateContainerConfigError with exactly this text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.downward import FieldPathError, PodFacts, container_named, pod_field, resource_field
from agent.env.envfile import EnvFileError, value_of
from agent.expansion import expand
from agent.failures import ConfigError
from apimachinery.objects import Obj


@dataclass(frozen=True)
class Referenced:
    """Config maps and secrets of the pod's namespace by name (absent:

    Not found) and every Service of the cluster.
    """

    config_maps: Mapping[str, Obj] = field(default_factory=dict)
    secrets: Mapping[str, Obj] = field(default_factory=dict)
    services: tuple[Obj, ...] = ()
    files: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """Files of the pod's volumes by (volume, path); None: there is no such file."""


@dataclass(frozen=True)
class References:
    """Names of objects in the pod's own namespace."""

    config_maps: frozenset[str]
    secrets: frozenset[str]
    files: frozenset[tuple[str, str]] = frozenset()
    """(volume, path)."""


def make_environment(pod: Obj, container: Obj, objects: Referenced, facts: PodFacts) -> dict[str, str]:
    """Every variable of `container`, in a stable order; raises ConfigError."""
    namespace = str(pod["metadata"].get("namespace", "default"))
    links = pod.get("spec", {}).get("enableServiceLinks", True) is not False
    services = service_variables(objects.services, namespace, links)
    own: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        _add_all(own, source, objects)

    def lookup(name: str) -> str | None:
        return own[name] if name in own else services.get(name)

    for variable in container.get("env") or []:
        value = _value(variable, lookup, pod, container, objects, facts)
        if value is not None:
            own[variable["name"]] = value
    return {**own, **{name: value for name, value in services.items() if name not in own}}


def _add_all(own: dict[str, str], source: Obj, objects: Referenced) -> None:
    prefix = source.get("prefix", "")
    if "configMapRef" in source:
        found = _find(objects.config_maps, source["configMapRef"], "configmap")
        data = (found or {}).get("data") or {}
    elif "secretRef" in source:
        found = _find(objects.secrets, source["secretRef"], "secret")
        data = {k: _secret_text(v) for k, v in ((found or {}).get("data") or {}).items()}
    else:
        return
    own.update({prefix + key: data[key] for key in sorted(data)})


def _value(
    variable: Obj,
    lookup: Callable[[str], str | None],
    pod: Obj,
    container: Obj,
    objects: Referenced,
    facts: PodFacts,
) -> str | None:
    """None: an optional reference that is not there, so the variable is not set."""
    if variable.get("value"):
        return expand(variable["value"], lookup)
    source = variable.get("valueFrom") or {}
    namespace = pod["metadata"].get("namespace", "default")
    try:
        if "fieldRef" in source:
            return pod_field(pod, source["fieldRef"].get("fieldPath", ""), facts)
        if "resourceFieldRef" in source:
            ref = source["resourceFieldRef"]
            owner = container_named(pod, ref["containerName"]) if ref.get("containerName") else container
            return resource_field(owner, ref, facts.allocatable)
    except FieldPathError as error:
        raise ConfigError(str(error)) from error
    if "configMapKeyRef" in source:
        return _key(objects.config_maps, source["configMapKeyRef"], ("configmap", "ConfigMap"), namespace)
    if "secretKeyRef" in source:
        text = _key(objects.secrets, source["secretKeyRef"], ("secret", "Secret"), namespace)
        return None if text is None else _secret_text(text)
    if "fileKeyRef" in source:
        return _file_key(objects.files, source["fileKeyRef"])
    return ""


def _file_key(files: Mapping[tuple[str, str], str | None], ref: Obj) -> str | None:
    """A variable of a file another container wrote; what is not there and optional is not set."""
    volume, path, key = ref.get("volumeName", ""), ref.get("path", ""), ref.get("key", "")
    if (volume, path) not in files:
        raise ConfigError(f'cannot find the volume "{volume}" referenced by FileKeyRef')
    text = files[volume, path]
    if text is None and not ref.get("optional"):
        raise ConfigError("couldn't parse env file")
    try:
        found = value_of(text or "", key)
    except EnvFileError as error:
        raise ConfigError("couldn't parse env file") from error
    if not found and not ref.get("optional"):
        raise ConfigError(f'environment variable key "{key}" not found in file "{path}"')
    return found or None


def _find(objects: Mapping[str, Obj], ref: Obj, resource: str) -> Obj | None:
    found = objects.get(ref.get("name", ""))
    if found is None and not ref.get("optional"):
        raise ConfigError(f'{resource} "{ref.get("name", "")}" not found', settling=True)
    return found


def _key(objects: Mapping[str, Obj], ref: Obj, names: tuple[str, str], namespace: str) -> str | None:
    found = _find(objects, ref, names[0])
    if found is None:
        return None
    data = found.get("data") or {}
    if ref["key"] in data:
        return str(data[ref["key"]])
    if ref.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {ref['key']} in {names[1]} {namespace}/{ref.get('name', '')}")


def _secret_text(encoded: str) -> str:
    # The runtime takes strings: bytes that are no UTF-8 cannot be passed on as they are.
    return base64.b64decode(encoded).decode("utf-8", "replace")


def service_variables(services: Iterable[Obj], namespace: str, links: bool) -> dict[str, str]:
    """The Service variables a pod of `namespace` sees:

    Default/kubernetes always, its namespace's own when `links`.
    """
    chosen: dict[str, Obj] = {}
    for service in services:
        meta, spec = service["metadata"], service.get("spec", {})
        if spec.get("clusterIP", "") in ("", "None"):
            continue
        if meta.get("namespace") == "default" and meta["name"] == "kubernetes":
            chosen.setdefault("kubernetes", service)
        elif meta.get("namespace") == namespace and links:
            chosen[meta["name"]] = service
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables.update(_variables_of(name, chosen[name].get("spec", {})))
    return variables


def _variables_of(name: str, spec: Obj) -> dict[str, str]:
    prefix, address = variable_name(name), spec["clusterIP"]
    ports = spec.get("ports") or []
    if not ports:
        return {}
    host = f"[{address}]" if ":" in address else address
    out = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            out[f"{prefix}_SERVICE_PORT_{variable_name(port['name'])}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if index == 0:
            out[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        out.update({stem: url, f"{stem}_PROTO": protocol.lower()})
        out.update({f"{stem}_PORT": str(port["port"]), f"{stem}_ADDR": address})
    return out


def variable_name(name: str) -> str:
    """A Service or port name as part of a variable's name."""
    return name.replace("-", "_").upper()


def container_references(container: Obj) -> References:
    """The config maps and secrets one container's variables name."""
    maps: set[str] = set()
    secrets: set[str] = set()
    files: set[tuple[str, str]] = set()
    for entry in container.get("envFrom") or []:
        maps.add((entry.get("configMapRef") or {}).get("name", ""))
        secrets.add((entry.get("secretRef") or {}).get("name", ""))
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        maps.add((source.get("configMapKeyRef") or {}).get("name", ""))
        secrets.add((source.get("secretKeyRef") or {}).get("name", ""))
        if file := source.get("fileKeyRef"):
            files.add((file.get("volumeName", ""), file.get("path", "")))
    return References(frozenset(maps - {""}), frozenset(secrets - {""}), frozenset(files))
