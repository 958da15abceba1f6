"""Secrets: stringData is written, never read."""

from __future__ import annotations

import base64

from controlplane.apiserver.request import Obj


def prepare_create(secret: Obj) -> None:
    texts = secret.pop("stringData", None)
    if texts:
        data = secret.setdefault("data", {})
        for key, text in texts.items():
            data[key] = base64.b64encode(text.encode()).decode()


def prepare_update(new: Obj, old: Obj) -> None:
    prepare_create(new)
    # The type cannot be lost by a client that does not send it.
    if not new.get("type"):
        new["type"] = old.get("type")
