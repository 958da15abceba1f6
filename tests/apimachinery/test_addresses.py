"""Addresses as the API has always read them."""

import pytest

from apimachinery import addresses


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("10.0.0.1/8", "10.0.0.1/8"),
        ("010.00.0.001/08", "10.0.0.1/8"),
        ("FE80::1/64", "fe80::1/64"),
        *((text, None) for text in ("10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/255.0.0.0", "10.0.0.1/٨")),
        *((text, None) for text in ("", "/8", "fe80::1%eth0/64", "10.0.0.1/" + "8" * 5000)),
    ],
)
def test_an_address_with_its_prefix(text: str, read: str | None) -> None:
    found = addresses.interface(text)
    assert (found and found.with_prefixlen) == read
