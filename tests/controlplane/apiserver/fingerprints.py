"""Digests of documents that were once compared with upstream's own and found equal.

A recording says where two differ; a digest says, on any machine, that something is no longer as it was.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(document: Any) -> str:
    """16 digits, whatever the order of keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
