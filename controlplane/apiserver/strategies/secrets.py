"""Secrets: stringData is written, never read."""

from __future__ import annotations

import base64

from controlplane.apiserver import defaults
from controlplane.apiserver.request import Obj


def default(secret: Obj) -> None:
    """stringData becomes data before anything else looks."""
    texts = secret.pop("stringData", None)
    if texts:
        data = secret.setdefault("data", {})
        for key, text in texts.items():
            data[key] = base64.b64encode(text.encode()).decode()
    defaults.apply(secret)
