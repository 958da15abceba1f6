"""The list of what nobody acts on names fields that exist, in one of its two forms."""

import re

import pytest

from apimachinery.coverage import UNSUPPORTED
from apimachinery.schema import Schema

KEY = re.compile(r"(?P<type>[A-Za-z0-9.]+)\.(?P<field>[A-Za-z0-9]+)(?:=\S+)?")


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_a_row_names_a_published_field(key: str) -> None:
    match = KEY.fullmatch(key)
    assert match is not None
    assert match["field"] in Schema.load().definitions[f"io.k8s.api.{match['type']}"]["properties"]
    text = UNSUPPORTED[key]
    assert text and text[0].islower() and not text.endswith(".")
