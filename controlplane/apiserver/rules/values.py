"""Checks that many types share: names, ports, keys, enumerations, amounts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from apimachinery import errors, formats, quantity
from apimachinery.addresses import address, interface, without_zeros
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Found as Found

MAX_INT32 = 2147483647
_PORT_NAME = re.compile(r"[-a-z0-9]+\Z")
_LETTER = re.compile(r"[a-z]")
_ENV_NAME = re.compile(r"[ -<>-~]+\Z")
_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
NOT_NEGATIVE = "must be greater than or equal to 0"
# What upstream writes for the whole, where its path has no name.
NO_PATH = "[]"
PORT_RANGE = "must be between 1 and 65535, inclusive"
_ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def each(path: str, value: Any, complaints: Iterable[str]) -> Found:
    return [errors.invalid(path, value, text) for text in complaints]


def enum(path: str, value: Any, allowed: Iterable[str]) -> Found:
    """A value out of a set, which upstream lists sorted."""
    choices = tuple(allowed)
    return [] if value in choices else [errors.not_supported(path, value, choices)]


def not_negative(path: str, value: Any) -> Found:
    return [errors.invalid(path, value, NOT_NEGATIVE)] if (value or 0) < 0 else []


def port_number(path: str, value: Any) -> Found:
    return [] if isinstance(value, int) and 1 <= value <= 65535 else [errors.invalid(path, value, PORT_RANGE)]


def port_name(text: str) -> tuple[str, ...]:
    """Complaints about an IANA service name."""
    found = []
    if len(text) > 15:
        found.append("must be no more than 15 characters")
    if not _PORT_NAME.match(text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _LETTER.search(text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return tuple(found)


def port(path: str, value: Any) -> Found:
    """A port number or name."""
    if isinstance(value, str):
        return each(path, value, port_name(value))
    return port_number(path, value or 0)


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    "characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "
    "'[A-Za-z_][A-Za-z0-9_]*')"
)


def c_identifier(text: str) -> tuple[str, ...]:
    """Complaints about a name as the C language has it."""
    return () if _IDENTIFIER.match(text) else (_IDENTIFIER_TEXT,)


def env_name(text: str) -> tuple[str, ...]:
    return () if _ENV_NAME.match(text) else (_ENV_TEXT,)


def config_key(text: str) -> tuple[str, ...]:
    """Complaints about a key of a ConfigMap or Secret."""
    found = []
    if len(text) > 253:
        found.append("must be no more than 253 characters")
    if not _KEY.match(text):
        found.append(_KEY_TEXT)
    if text == ".":
        found.append("must not be '.'")
    elif text == "..":
        found.append("must not be '..'")
    elif text.startswith(".."):
        found.append("must not start with '..'")
    return tuple(found)


_IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def ip_address(text: str) -> str:
    """What is wrong with an address, "" when it is fine."""
    found = address(text)
    if found is None:
        return _IP_TEXT
    if without_zeros(text) != text:
        return "must not have leading 0s"
    mapped = found.version == 6 and found.ipv4_mapped is not None
    return "must not be an IPv4-mapped IPv6 address" if mapped else ""


def ip(path: str, value: Any) -> Found:
    wrong = ip_address(value or "")
    return [errors.invalid(path, value or "", wrong)] if wrong else []


def canonical_ip(text: str) -> tuple[str, ...]:
    """Complaints about an address that may be written one way alone."""
    if wrong := ip_address(text):
        return (wrong,)
    plain = str(address(text))
    return () if plain == text else (f'must be in canonical form ("{plain}")',)


def canonical_cidr(path: str, value: str) -> Found:
    """A range of addresses that may be written one way alone."""
    found = interface(value)
    if wrong := cidr(path, value):
        return wrong
    plain = str(found.network) if found is not None else value
    return [] if plain == value else [errors.invalid(path, value, f'must be in canonical form ("{plain}")')]


def cidr(path: str, value: str) -> Found:
    """A range of addresses, without bits beyond its prefix."""
    found = interface(value)
    if found is None:
        return [errors.invalid(path, value, _CIDR_TEXT)]
    start, _, length = value.partition("/")
    if without_zeros(start) != start or length != str(found.network.prefixlen):
        return [errors.invalid(path, value, "must not have leading 0s in IP or prefix length")]
    if found.version == 6 and found.ip.ipv4_mapped is not None:
        return [errors.invalid(path, value, "must not have an IPv4-mapped IPv6 address")]
    if found.network.network_address != found.ip:
        return [errors.invalid(path, value, "must not have bits set beyond the prefix length")]
    return []


def domain_path(path: str, value: str) -> Found:
    """A name with a domain in front, as in "example.com/controller"."""
    if not value:
        return [errors.required(path)]
    return [errors.invalid(path, part, complaint) for part, complaint in formats.domain_prefixed_path(value)]


def descending_path(path: str, value: str) -> Found:
    """A path below something, without a way up; each complaint on its own."""
    found = [errors.invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    return found + no_way_up(path, value)


def below(path: str, value: str) -> Found:
    """A descending path that does not begin as a way up would."""
    found = descending_path(path, value)
    if value.startswith("..") and not value.startswith("../"):
        found.append(errors.invalid(path, value, "must not start with '..'"))
    return found


def no_way_up(path: str, value: str) -> Found:
    return [errors.invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def amount(text: Any) -> quantity.Quantity:
    return quantity.parse(text)


def label_selector(path: str, selector: Obj | None) -> Found:
    """A metav1.LabelSelector."""
    if not selector:
        return []
    found: Found = []
    for key, value in sorted((selector.get("matchLabels") or {}).items()):
        found += each(f"{path}.matchLabels", key, formats.qualified_name(key))
        found += each(f"{path}.matchLabels", value, formats.label_value(value))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        found += _expression(f"{path}.matchExpressions[{index}]", expression)
    return found


def _expression(path: str, expression: Obj) -> Found:
    found: Found = []
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(errors.required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(errors.field_forbidden(f"{path}.values", text))
    else:
        found.append(errors.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    found += each(f"{path}.key", expression.get("key") or "", formats.qualified_name(expression.get("key") or ""))
    for index, value in enumerate(values):
        found += each(f"{path}.values[{index}]", value, formats.label_value(value))
    return found
