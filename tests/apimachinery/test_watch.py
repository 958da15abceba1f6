"""The watch decoder gives the same events wherever the stream is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.objects import dumps
from apimachinery.watch import Decoder

EVENTS = [("ADDED", {"metadata": {"name": f"pod-{n}", "labels": {"a": "ü" * n}}}) for n in range(8)]
STREAM = b"".join(dumps({"type": kind, "object": obj}) + b"\n" for kind, obj in EVENTS)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    decoder = Decoder()
    seen = []
    for start, end in itertools.pairwise(edges):
        seen += decoder.feed(STREAM[start:end])
    assert seen == EVENTS


def test_an_error_event_raises_what_its_status_means() -> None:
    status = errors.Expired("too old resource version: 1 (7)").status()
    with pytest.raises(errors.Expired, match="too old resource version"):
        Decoder().feed(dumps({"type": "ERROR", "object": status}) + b"\n")
