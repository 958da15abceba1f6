"""Ingresses."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.addresses import address
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import each, enum, ip, port_name, port_number
from controlplane.apiserver.rules.words import created, hook, name, required, strict_form, when

_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_SEQUENCES, _ENDINGS = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")
_NAME_WANTED = "must be a DNS name, not an IP address"


def _class(ingress: Obj, at: Place) -> Iterator[FieldError]:
    """The annotation of old is looked at in new objects alone."""
    annotated = (ingress["metadata"].get("annotations") or {}).get(_CLASS)
    chosen = ingress["spec"].get("ingressClassName")
    if annotated is not None and chosen is not None and annotated != chosen:
        text = "must match `ingressClassName` when both are specified"
        yield errors.invalid(f"annotations.{_CLASS}", annotated, text)


def _something(spec: Obj, at: Place) -> Iterator[FieldError]:
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield errors.invalid(at.path, None, "either `defaultBackend` or `rules` must be specified")


def _host(rule: Obj, at: Place) -> Iterator[FieldError]:
    host = rule["host"]
    if host and address(host) is not None:
        yield errors.invalid(at.to("host"), host, _NAME_WANTED)
    if host:
        yield from each(at.to("host"), host, _complaints(host))


def _complaints(host: str) -> tuple[str, ...]:
    return formats.wildcard_subdomain(host) if "*" in host else formats.dns1123_subdomain(host)


def _typed(entry: Obj, at: Place) -> bool:
    return entry.get("pathType") is not None


def _path(entry: Obj, at: Place) -> Iterator[FieldError]:
    kind, text, where = entry.get("pathType"), entry.get("path") or "", at.to("path")
    if kind is None:
        yield errors.required(at.to("pathType"), "pathType must be specified")
    elif kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            yield errors.invalid(where, text, "must be an absolute path")
        for part in _SEQUENCES:
            if part in text:
                yield errors.invalid(where, text, f"must not contain '{part}'")
        for part in _ENDINGS:
            if text.endswith(part):
                yield errors.invalid(where, text, f"cannot end with '{part}'")
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield errors.invalid(where, text, "must be an absolute path")
    else:
        yield from enum(at.to("pathType"), kind, _PATH_TYPES)


def _one_way(backend: Obj, at: Place) -> bool:
    return (backend.get("service") is None) != (backend.get("resource") is None)


def _ways(backend: Obj, at: Place) -> Iterator[FieldError]:
    if not _one_way(backend, at):
        both = backend.get("service") is not None
        text = "cannot set both resource and service backends" if both else "resource or service backend is required"
        yield errors.invalid(at.path, "", text)


def _port(service: Obj, at: Place) -> Iterator[FieldError]:
    """What is wrong with both or none is told of the backend as a whole."""
    wanted, where = service.get("port") or {}, at.above().path
    title, number = wanted.get("name") or "", wanted.get("number") or 0
    if title and number:
        yield errors.invalid(where, "", "cannot set both port name & port number")
    elif title:
        yield from each(at.to("port.name"), title, port_name(title))
    elif number:
        yield from port_number(at.to("port.number"), number)
    else:
        yield errors.required(where, "port name or number is required")


def _tls(entry: Obj, at: Place) -> Iterator[FieldError]:
    for index, host in enumerate(entry.get("hosts") or ()):
        yield from each(f"{at.to('hosts')}[{index}]", host, _complaints(host))
    secret = entry.get("secretName") or ""
    if secret and not _odd_secrets(at):
        yield from each(at.to("secretName"), secret, formats.dns1123_subdomain(secret))


def _odd_secrets(at: Place) -> bool:
    """Whether the names of secrets were not as they should be before, and are not looked at."""
    entries = ((at.about.old or {}).get("spec") or {}).get("tls") or ()
    names = [entry.get("secretName") or "" for entry in entries]
    return any(name and formats.dns1123_subdomain(name) for name in names)


def _entry(ingress: Obj, at: Place) -> Iterator[FieldError]:
    given, host = ingress.get("ip") or "", ingress.get("hostname") or ""
    before = (((at.about.old or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if given and all(entry.get("ip") != given for entry in before):
        yield from ip(at.to("ip"), given)
    if host:
        yield from each(at.to("hostname"), host, formats.dns1123_subdomain(host))
        if address(host) is not None:
            yield errors.invalid(at.to("hostname"), host, _NAME_WANTED)


RULES: dict[str, Row] = {
    "networking.v1.Ingress": (inside("spec", always=True), created(_class)),
    "networking.v1.IngressSpec": (
        hook(_something),
        "defaultBackend",
        "rules",
        "tls",
        strict_form("ingressClassName", formats.dns1123_subdomain),
    ),
    "networking.v1.IngressRule": (hook(_host, "host"), "http"),
    "networking.v1.HTTPIngressRuleValue": (required("paths"), "paths"),
    "networking.v1.HTTPIngressPath": (hook(_path), when(_typed, inside("backend", always=True))),
    "networking.v1.IngressBackend": (hook(_ways), when(_one_way, "resource", "service")),
    "networking.v1.IngressBackend.resource": (
        strict_form("apiGroup", formats.dns1123_subdomain),
        name("kind", path_segment),
        name("name", path_segment),
    ),
    "networking.v1.IngressServiceBackend": (name("name", formats.dns1123_label), hook(_port)),
    "networking.v1.IngressTLS": (hook(_tls),),
    "networking.v1.Ingress/status": ("status",),
    "networking.v1.IngressStatus": ("loadBalancer",),
    "networking.v1.IngressLoadBalancerStatus": ("ingress",),
    "networking.v1.IngressLoadBalancerIngress": (hook(_entry),),
}
