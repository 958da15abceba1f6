"""URLs as upstream's language reads them: what it cannot read, in its words, and the parameters of a query. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from apimachinery import errors

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PORT = re.compile(r"(:[0-9]*)?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_NO_HOST = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:\[\]<>\"%\u0080-\U0010ffff-]")


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


def parameters(query: str) -> dict[str, list[str]]:
    """The values of each parameter, empty ones too. One that holds a semicolon or a broken escape is passed over."""
    found: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        name, _, value = pair.partition("=")
        found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return found
