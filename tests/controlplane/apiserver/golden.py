"""The API server's recorded answers, by file."""

from __future__ import annotations

import json
from typing import Any

from tests import golden


def load(name: str) -> Any:
    """The parsed file `name` of the golden folder; skips the test without it."""
    return json.loads(golden.path(name).read_text())
