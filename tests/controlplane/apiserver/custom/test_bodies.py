"""What is asked of the type of a body."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import errors
from controlplane.apiserver import unstructured
from tests.controlplane.apiserver.custom.definitions import V1


@pytest.mark.parametrize("metadata", ["x", ["x"], 5, None, {"name": "b"}, {"name": ["b"]}])
def test_a_body_of_another_kind_is_refused_whatever_its_metadata_is(metadata: Any) -> None:
    raft = {"apiVersion": V1.api_version, "kind": "Raft", "metadata": metadata}
    with pytest.raises(errors.Invalid, match='kind: Invalid value: "Raft": must be Boat'):
        unstructured.check_sent(raft, V1)
