"""Durations as Go reads them."""

import pytest

from apimachinery import duration

GOOD = [
    ("0", 0.0),
    ("-0", 0.0),
    ("0s", 0.0),
    ("5s", 5.0),
    ("+5s", 5.0),
    ("-1.5h", -5400.0),
    ("1h30m.5s", 5400.5),
    ("1.s", 1.0),
    ("20ms", 0.02),
    ("3us", 3e-6),
    ("3µs", 3e-6),
    ("1ns", 1e-9),
    ("-2562047h47m16.854775808s", -9223372036.854775808),
]
BAD = [
    ("", 'invalid duration ""'),
    ("-", 'invalid duration "-"'),
    ("x", 'invalid duration "x"'),
    (".s", 'invalid duration ".s"'),
    ("1", 'missing unit in duration "1"'),
    ("1s2", 'missing unit in duration "1s2"'),
    ("1q", 'unknown unit "q" in duration "1q"'),
    ("1s x", 'unknown unit "s x" in duration "1s x"'),
    ("2562047h47m16.854775808s", 'invalid duration "2562047h47m16.854775808s"'),
    ("9" * 100_000 + "s", "invalid duration"),
]


@pytest.mark.parametrize(("text", "seconds"), GOOD)
def test_what_is_a_duration(text: str, seconds: float) -> None:
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize(("text", "why"), BAD, ids=range(len(BAD)))
def test_what_is_none(text: str, why: str) -> None:
    with pytest.raises(duration.DurationError) as refused:
        duration.seconds(text)
    assert str(refused.value).startswith(f"time: {why}")
