"""Requests with methods that nobody has standardised: any token is a method (RFC 9110, section 9.1).

The library's compiled parser knows a list of methods and takes everything else for no HTTP. Its parser in Python takes
any token, but in capitals; Go's servers hand on what was said, and "get" is not GET.
"""

from __future__ import annotations

from typing import Any

from apimachinery.kit.http import http_exceptions, http_parser

NotHTTP = http_exceptions.HttpProcessingError
"""What a parser says to what it cannot read."""

_KNOWN = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))


class Parser(http_parser.HttpRequestParserPy):
    """Leaves each method as it was spelled."""

    def parse_message(self, lines: list[bytes]) -> Any:
        message = super().parse_message(lines)
        return message._replace(method=lines[0].partition(b" ")[0].decode("ascii"))


def begins_with_another(data: bytes) -> bool:
    """Whether a request with a method that is none of the common ones begins here."""
    method, space, _ = data.partition(b" ")
    try:
        text = method.decode("ascii")
    except UnicodeDecodeError:
        return False
    return bool(space) and bool(http_parser.TOKENRE.fullmatch(text)) and text not in _KNOWN


def is_about_the_method(error: BaseException) -> bool:
    return isinstance(error, http_exceptions.BadHttpMethod)
