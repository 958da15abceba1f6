"""The shapes of names, keys and values in the API, each check giving upstream's texts for what is wrong.

Every function takes a text and returns the tuple of complaints, empty when the text is fine. Sources: RFC 1123, RFC
1035 and the "Object Names and IDs" and "Labels and Selectors" pages of the Kubernetes documentation.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = [
    "dns1035_label",
    "dns1123_label",
    "dns1123_subdomain",
    "label_value",
    "qualified_name",
    "wildcard_subdomain",
]

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
WILDCARD = rf"\*\.{SUBDOMAIN}"
NAME_PART = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

_label = re.compile(LABEL)
_label_1035 = re.compile(LABEL_1035)
_subdomain = re.compile(SUBDOMAIN)
_wildcard = re.compile(WILDCARD)
_name_part = re.compile(NAME_PART)
_value = re.compile(VALUE)

EMPTY = "must be non-empty"


def _too_long(limit: int, unit: str = "bytes") -> str:
    return f"must be no more than {limit} {unit}"


def _mismatch(what: str, pattern: str, *examples: str) -> str:
    shown = ",  or ".join(f"'{example}'" for example in examples)
    return f"{what} (e.g. {shown}, regex used for validation is '{pattern}')"


_LABEL_TEXT = _mismatch(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    LABEL,
    "my-name",
    "123-abc",
)
_LABEL_1035_TEXT = _mismatch(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    LABEL_1035,
    "my-name",
    "abc-123",
)
_SUBDOMAIN_TEXT = _mismatch(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    SUBDOMAIN,
    "example.com",
)
_WILDCARD_TEXT = _mismatch(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    WILDCARD,
    "*.example.com",
)
_NAME_PART_WHAT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_NAME_PART_TEXT = _mismatch(_NAME_PART_WHAT, NAME_PART, "MyName", "my.name", "123-abc")
_VALUE_TEXT = _mismatch(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    VALUE,
    "MyValue",
    "my_value",
    "12345",
)


def dns1123_label(text: str) -> tuple[str, ...]:
    dotted = "." in text and _subdomain.fullmatch(text) is not None
    return _shape(text, 63, _label, "must not contain dots" if dotted else _LABEL_TEXT)


def dns1035_label(text: str) -> tuple[str, ...]:
    return _shape(text, 63, _label_1035, _LABEL_1035_TEXT)


def dns1123_subdomain(text: str) -> tuple[str, ...]:
    return _shape(text, 253, _subdomain, _SUBDOMAIN_TEXT)


def long_name(text: str) -> tuple[str, ...]:
    """A subdomain by upstream's newer check of the same, which counts bytes."""
    return _shape(text, 253, _subdomain, _SUBDOMAIN_TEXT, "bytes")


def wildcard_subdomain(text: str) -> tuple[str, ...]:
    """A subdomain whose first label is "*", as in "*.example.com"."""
    return _shape(text, 253, _wildcard, _WILDCARD_TEXT)


_url_path = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


@lru_cache(maxsize=4096)
def label_value(text: str) -> tuple[str, ...]:
    return _shape(text, 63, _value, _VALUE_TEXT, "bytes")


@lru_cache(maxsize=4096)
def qualified_name(text: str) -> tuple[str, ...]:
    """A label or annotation key: an optional DNS prefix and "/", then a name of up to 63 bytes."""
    prefix, slash, name = text.partition("/")
    if not slash:
        name = prefix
    elif "/" in name:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a valid label key {_NAME_PART_TEXT} {optional}",)
    complaints: list[str] = []
    if slash and not prefix:
        complaints.append(f"prefix part {EMPTY}")
    elif slash:
        complaints += [f"prefix part {complaint}" for complaint in long_name(prefix)]
    if not name:
        complaints.append(f"name part {EMPTY}")
    elif len(name.encode()) > 63:
        complaints.append(f"name part {_too_long(63)}")
    if not _name_part.fullmatch(name):
        complaints.append(f"name part {_NAME_PART_TEXT}")
    return tuple(complaints)


def domain_prefixed_path(text: str) -> tuple[tuple[str, str], ...]:
    """A name with a domain in front, as in "example.com/controller": each part that is wrong, and what is."""
    domain, _, rest = text.partition("/")
    if not domain or not rest:
        return ((text, 'must be a domain-prefixed path (such as "acme.io/foo")'),)
    found = [(domain, complaint) for complaint in dns1123_subdomain(domain)]
    if not _url_path.fullmatch(rest):
        found.append((rest, f"Invalid path (regex used for validation is '{_url_path.pattern}')"))
    return tuple(found)


def _shape(
    text: str, limit: int, pattern: re.Pattern[str], complaint: str, unit: str = "characters"
) -> tuple[str, ...]:
    complaints = [_too_long(limit, unit)] if len(text.encode("utf-8", "surrogatepass")) > limit else []
    if not pattern.fullmatch(text):
        complaints.append(complaint)
    return tuple(complaints)
