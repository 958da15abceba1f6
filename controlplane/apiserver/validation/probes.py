"""Probes and lifecycle handlers."""

from __future__ import annotations

import re

from apimachinery import errors
from controlplane.apiserver.validation.fields import Found, Obj, each, enum, not_negative, port

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_HEADER = re.compile(r"[-A-Za-z0-9]+\Z")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probe(path: str, value: Obj | None, grace: int, once: bool) -> Found:
    """once: the success threshold must be 1 (liveness and startup)."""
    if value is None:
        return []
    found = handler(path, value, grace)
    for field in _NUMBERS:
        found += not_negative(f"{path}.{field}", value.get(field))
    seconds = value.get("terminationGracePeriodSeconds")
    if seconds is not None and seconds <= 0:
        found.append(errors.invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must be greater than 0"))
    if once and value.get("successThreshold", 1) != 1:
        found.append(errors.invalid(f"{path}.successThreshold", value["successThreshold"], "must be 1"))
    return found


def lifecycle(path: str, value: Obj | None, grace: int) -> Found:
    found: Found = []
    for field in ("postStart", "preStop"):
        if value and value.get(field) is not None:
            found += handler(f"{path}.{field}", value[field], grace)
    return found


def handler(path: str, value: Obj, grace: int) -> Found:
    """Exactly one way to probe or to be told."""
    found: Found = []
    seen = 0
    for field in _HANDLERS:
        given = value.get(field)
        if given is None:
            continue
        where = f"{path}.{field}"
        if seen:
            found.append(errors.field_forbidden(where, "may not specify more than 1 handler type"))
            continue
        seen += 1
        found += _one(where, field, given, grace)
    if not seen:
        found.append(errors.required(path, "must specify a handler type"))
    return found


def _one(path: str, field: str, given: Obj, grace: int) -> Found:
    if field == "exec":
        return [] if given.get("command") else [errors.required(f"{path}.command")]
    if field == "httpGet":
        return _http(path, given)
    if field == "tcpSocket":
        return port(f"{path}.port", given.get("port"))
    if field == "grpc":
        return port(f"{path}.port", given.get("port") or 0)
    seconds = given.get("seconds") or 0
    if seconds < 0 or seconds > grace:
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        return [errors.invalid(path, seconds, text)]
    return []


def _http(path: str, given: Obj) -> Found:
    found: Found = []
    if not given.get("path"):
        found.append(errors.required(f"{path}.path"))
    found += port(f"{path}.port", given.get("port"))
    found += enum(f"{path}.scheme", given.get("scheme"), ("HTTP", "HTTPS"))
    for header in given.get("httpHeaders") or ():
        title = header.get("name") or ""
        if not _HEADER.match(title):
            found += each(f"{path}.httpHeaders", title, (_HEADER_TEXT,))
    return found
