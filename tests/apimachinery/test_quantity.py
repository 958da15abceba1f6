# ruff: noqa: E501 - tables of cases read best one to a line
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import quantity


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("0", "0"), ("0.5", "500m"), ("0.1", "100m"), ("1000m", "1"), ("1024Ki", "1Mi"), ("1.5Gi", "1536Mi"),
        ("1000", "1k"), ("1100", "1100"), ("1e1", "10"), ("1e3", "1e3"), ("12e6", "12e6"), ("1E", "1E"), ("0.5Mi", "512Ki"),
        ("0.3Ki", "307200m"), ("1.3Ki", "1332"), ("1000Ki", "1000Ki"), ("512", "512"), ("-1.5", "-1500m"), ("+3", "3"),
        ("100n", "100n"), ("0.1n", "1n"), ("1.5n", "2n"), ("0.0000000001", "1n"), ("-0.1n", "-1n"), ("1.", "1"), (".5", "500m"),
        ("0Mi", "0"), ("0.5Ki", "512"), (5, "5"), (0.25, "250m"), ("1M", "1M"), ("1000k", "1M"), ("1e30", "1e30"), ("1e20", "100e18"), ("9223372036854775808", "9223372036854775808"), ("1" + "0" * 20, "100E"), ("9000Ei", "9223372036854775807"),
        ("100E", "100E"), ("-0", "0"), ("9" * 5000, "9223372036854775807"), ("0" * 5000 + "7", "7"),
        ("0." + "9" * 5000, "1"), ("0." + "0" * 5000 + "1", "1n"), ("1" + "0" * 4999 + "e-4999", "1"), ("0.5" + "0" * 5000 + "1", "500000001n"),
    ],
)  # fmt: skip
def test_canonical_text(written: str | int | float, canonical: str) -> None:
    assert quantity.canonical(written) == canonical


@pytest.mark.parametrize("written", ["", "abc", "1 Gi", "1.2.3", "1,5", "{}"])
def test_wrong_format(written: str) -> None:
    with pytest.raises(quantity.QuantityError, match="quantities must match the regular expression"):
        quantity.parse(written)


@pytest.mark.parametrize(
    "written", ["--1", "1Kik", "1K", "1mm", "1e", "5EiE", "1e" + "9" * 5000, "1e9223372036854775808"]
)
def test_wrong_suffix(written: str) -> None:
    with pytest.raises(quantity.QuantityError, match="unable to parse quantity's suffix"):
        quantity.parse(written)


def test_rounding_up_away_from_zero() -> None:
    assert quantity.parse("1500m").value() == 2
    assert quantity.parse("-1500m").value() == -2
    assert quantity.parse("1500u").milli() == 2
    assert quantity.parse("2Gi").value() == 2 * 1024**3


@pytest.mark.parametrize("written", ["1e279", "1e281", "1e400", "-1e400", "9" * 300, "1" + "0" * 200 + "e200"])
def test_whoever_divides_amounts_gets_a_float(written: str) -> None:
    amount = quantity.parse(written)
    assert amount.nanos / 1 and amount.milli() / 1 and sum([amount.nanos] * 1000) / 1


def test_arithmetic_keeps_the_first_format() -> None:
    assert str(quantity.parse("1Gi") + quantity.parse("1Gi")) == "2Gi"
    assert str(quantity.parse("0") + quantity.parse("1Gi")) == "1Gi"
    assert str(quantity.parse("1") - quantity.parse("300m")) == "700m"
    assert quantity.parse("1000m") == quantity.parse("1") and hash(quantity.parse("1k")) == hash(quantity.parse("1000"))
    assert quantity.parse("100m") < quantity.parse("1") <= quantity.parse("1")


amounts = st.builds(
    lambda whole, fraction, suffix: f"{whole}{'.' + fraction if fraction else ''}{suffix}",
    st.integers(0, 10**6),
    st.text("0123456789", max_size=6),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "n", "u", "e3", "E2"]),
)


@given(amounts)
def test_canonical_is_a_fixed_point_of_equal_amount(written: str) -> None:
    parsed = quantity.parse(written)
    again = quantity.parse(str(parsed))
    assert str(again) == str(parsed)
    assert abs(Fraction(again.nanos - parsed.nanos, 10**9)) < 1
    if parsed.format != quantity.BINARY:
        assert again == parsed
