"""Where a webhook is, as a URL or as a path of a Service."""

from __future__ import annotations

from urllib.parse import urlsplit

from apimachinery import errors, formats
from apimachinery.urls import unreadable
from controlplane.apiserver.rules.values import Found

_FORM = "desired format: https://host[/path]"


def url(path: str, text: str) -> Found:
    """Complaints about a URL that is asked by TLS."""
    if wrong := unreadable(text):
        shown = errors.quoted(text.partition("#")[0])
        return [errors.required(path, f"url must be a valid URL: parse {shown}: {wrong}; {_FORM}")]
    try:
        parts = urlsplit(text)
    except ValueError as error:
        return [errors.required(path, f"url must be a valid URL: {error}; {_FORM}")]
    found: Found = []
    if parts.scheme != "https":
        found.append(errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {_FORM}"))
    user, at_host, host = parts.netloc.rpartition("@")
    if not host:
        found.append(errors.invalid(path, host, f"host must be specified; {_FORM}"))
    if at_host:
        found.append(errors.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(errors.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(errors.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def service_path(path: str, text: str) -> Found:
    """Complaints about a path of a Service."""
    if text == "/":
        return []
    if text == "//":
        return [errors.invalid(path, text, "segment[0] may not be empty")]
    found = [] if text.startswith("/") else [errors.invalid(path, text, "must start with a '/'")]
    for index, segment in enumerate(text[1:].removesuffix("/").split("/")):
        if not segment:
            found.append(errors.invalid(path, text, f"segment[{index}] may not be empty"))
            continue
        for complaint in formats.dns1123_subdomain(segment):
            found.append(errors.invalid(path, text, f"segment[{index}]: {complaint}"))
    return found
