"""Numbers that somebody has written down."""

from __future__ import annotations

import pytest

from apimachinery.numerals import INT64, whole


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("7", 7), ("+7", 7), ("-7", -7), ("-0", 0), (str(INT64), INT64), (f"-{INT64}", -INT64),
        ("0" * 5000 + "7", 7), ("-" + "0" * 5000 + "7", -7), (str(2**64), 2**64),
        ("", None), ("-", None), ("--1", None), ("1_0", None), (" 1", None), ("1\n", None), ("1.0", None), ("²", None),
    ],
)  # fmt: skip
def test_numbers(text: str, number: int | None) -> None:
    assert whole(text) == number


def test_a_number_of_very_many_digits_is_as_large_as_any() -> None:
    assert (whole("9" * 5000) or 0) > 10**21 and (whole("-" + "9" * 5000) or 0) < -(10**21)
    assert (whole("1" + "0" * 5000) or 0) >= 10**21
