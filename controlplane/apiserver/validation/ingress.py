"""Ingresses."""

from __future__ import annotations

import ipaddress

from apimachinery import errors, formats
from controlplane.apiserver.catalog.names import label, path_segment
from controlplane.apiserver.rules.values import Found, Obj, each, enum, name, port_name, port_number

_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_SEQUENCES, _ENDINGS = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")


def ingress(obj: Obj) -> Found:
    found = ingress_spec(obj["spec"])
    annotated, chosen = (obj["metadata"].get("annotations") or {}).get(_CLASS), obj["spec"].get("ingressClassName")
    if annotated is not None and chosen is not None and annotated != chosen:
        text = "must match `ingressClassName` when both are specified"
        found.append(errors.invalid(f"annotations.{_CLASS}", annotated, text))
    return found


def ingress_change(new: Obj, old: Obj) -> Found:
    """The annotation of old is looked at in new objects alone."""
    return ingress_spec(new["spec"])


def ingress_spec(spec: Obj) -> Found:
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    found: Found = []
    if not rules and backend is None:
        found.append(errors.invalid("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        found += _backend("spec.defaultBackend", backend)
    for index, rule in enumerate(rules):
        found += _rule(f"spec.rules[{index}]", rule)
    for index, entry in enumerate(spec.get("tls") or ()):
        found += _tls(f"spec.tls[{index}]", entry)
    chosen = spec.get("ingressClassName")
    if chosen is not None:
        found += each("spec.ingressClassName", chosen, formats.dns1123_subdomain(chosen))
    return found


def _rule(path: str, rule: Obj) -> Found:
    host = rule.get("host") or ""
    found: Found = []
    if host:
        if _is_address(host):
            found.append(errors.invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        found += _host(f"{path}.host", host)
    http = rule.get("http")
    if http is None:
        return found
    if not http.get("paths"):
        found.append(errors.required(f"{path}.http.paths"))
    for index, entry in enumerate(http.get("paths") or ()):
        found += _path(f"{path}.http.paths[{index}]", entry)
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host(path: str, host: str) -> Found:
    return each(path, host, formats.wildcard_subdomain(host) if "*" in host else formats.dns1123_subdomain(host))


def _path(path: str, entry: Obj) -> Found:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if not kind:
        return [errors.required(f"{path}.pathType", "pathType must be specified")]
    found: Found = []
    where = f"{path}.path"
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            found.append(errors.invalid(where, text, "must be an absolute path"))
        found += [errors.invalid(where, text, f"must not contain '{s}'") for s in _SEQUENCES if s in text]
        found += [errors.invalid(where, text, f"cannot end with '{s}'") for s in _ENDINGS if text.endswith(s)]
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            found.append(errors.invalid(where, text, "must be an absolute path"))
    else:
        found += enum(f"{path}.pathType", kind, _PATH_TYPES)
    return found + _backend(f"{path}.backend", entry.get("backend") or {})


def _backend(path: str, backend: Obj) -> Found:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [errors.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _resource(f"{path}.resource", resource)
    if service is None:
        return [errors.invalid(path, "", "resource or service backend is required")]
    found = name(f"{path}.service.name", service.get("name"), label)
    wanted = service.get("port") or {}
    title, number = wanted.get("name") or "", wanted.get("number") or 0
    if title and number:
        found.append(errors.invalid(path, "", "cannot set both port name & port number"))
    elif title:
        found += each(f"{path}.service.port.name", title, port_name(title))
    elif number:
        found += port_number(f"{path}.service.port.number", number)
    else:
        found.append(errors.required(path, "port name or number is required"))
    return found


def _resource(path: str, resource: Obj) -> Found:
    found: Found = []
    group = resource.get("apiGroup")
    if group is not None:
        found += each(f"{path}.apiGroup", group, formats.dns1123_subdomain(group))
    for key in ("kind", "name"):
        found += name(f"{path}.{key}", resource.get(key), path_segment)
    return found


def _tls(path: str, entry: Obj) -> Found:
    found: Found = []
    for index, host in enumerate(entry.get("hosts") or ()):
        found += _host(f"{path}.hosts[{index}]", host)
    secret = entry.get("secretName")
    return found + (each(f"{path}.secretName", secret, formats.dns1123_subdomain(secret)) if secret else [])


def ingress_status(new: Obj, old: Obj) -> Found:
    found: Found = []
    for index, entry in enumerate(((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()):
        where = f"status.loadBalancer.ingress[{index}]"
        if entry.get("ip") and not _is_address(entry["ip"]):
            found.append(errors.invalid(f"{where}.ip", entry["ip"], "must be a valid IP address"))
        if entry.get("hostname"):
            found += each(f"{where}.hostname", entry["hostname"], formats.dns1123_subdomain(entry["hostname"]))
            if _is_address(entry["hostname"]):
                text = "must be a DNS name, not an IP address"
                found.append(errors.invalid(f"{where}.hostname", entry["hostname"], text))
    return found
