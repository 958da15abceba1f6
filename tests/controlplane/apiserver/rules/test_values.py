"""Checks of single values."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.rules import values as fields


def texts(found: Any) -> list[str]:
    return [str(error) for error in found]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("10.0.0.0/8", ""),
        ("2001:db8::/32", ""),
        ("10.0.0.0", "must be a valid CIDR value"),
        ("10.0.0.0/33", "must be a valid CIDR value"),
        ("10.0.0.0/255.0.0.0", "must be a valid CIDR value"),
        ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
    ],
)
def test_ranges(text: str, wrong: str) -> None:
    found = texts(fields.cidr("f", text))
    assert (not found) if not wrong else wrong in found[0]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1.2.3.4", ""),
        ("::1", ""),
        ("1.2.3", "must be a valid IP address"),
        ("fe80::1%eth0", "must be a valid IP address"),
        ("1.2.3.04", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
    ],
)
def test_addresses(text: str, wrong: str) -> None:
    assert fields.ip_address(text).startswith(wrong) and bool(fields.ip_address(text)) == bool(wrong)


@pytest.mark.parametrize(
    ("value", "fine"),
    [("a.b/c", True), ("a.b/c/d", True), ("a.b", False), ("/c", False), ("A/c", False), ("a.b/c d", False)],
)
def test_paths_with_a_domain(value: str, fine: bool) -> None:
    assert (fields.domain_path("f", value) == []) is fine
