"""Where a webhook is, as a URL or as a path of a Service.

A URL is read as upstream's language reads one: what it cannot read is told in its words, and nothing else.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import Found

_FORM = "desired format: https://host[/path]"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PORT = re.compile(r"(:[0-9]*)?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_NO_HOST = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:\[\]<>\"%\u0080-\U0010ffff-]")


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


def unreadable(text: str) -> str:
    """Why a text is no URL, "" when it is one."""
    text = text.partition("#")[0]
    if any(letter < " " or letter == "\x7f" for letter in text):
        return "net/url: invalid control character in URL"
    if text.startswith(":"):
        return "missing protocol scheme"
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() if scheme else 0 :].partition("?")[0]
    if not rest.startswith("/"):
        if scheme:
            return ""
        if ":" in rest.partition("/")[0]:
            return "first path segment in URL cannot contain colon"
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, _, rest = rest[2:].partition("/")
        if wrong := _no_host(authority.rpartition("@")[2]):
            return wrong
    return _no_escape(rest)


def _no_host(host: str) -> str:
    last = "]" if host.startswith("[") else ":"
    _, found, port = host.rpartition(last)
    if last == "]" and not found:
        return "missing ']' in host"
    if last == ":":
        port = f":{port}" if found else ""
    if not _PORT.match(port):
        return f"invalid port {errors.quoted(port)} after host"
    if wrong := _no_escape(host):
        return wrong
    odd = _NO_HOST.search(host)
    return f"invalid character {errors.quoted(odd.group())} in host name" if odd else ""


def _no_escape(text: str) -> str:
    bad = _BAD_ESCAPE.search(text)
    return f"invalid URL escape {errors.quoted(bad.group())}" if bad else ""


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
