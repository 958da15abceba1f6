"""Secrets and those who use them: stringData is written, never read; accounts name their secrets and no more."""

from __future__ import annotations

import base64

from apimachinery.objects import Obj
from controlplane.apiserver import defaults


def default(secret: Obj) -> None:
    """stringData becomes data before anything else looks."""
    texts = secret.pop("stringData", None)
    if texts:
        data = secret.setdefault("data", {})
        for key, text in texts.items():
            data[key] = base64.b64encode(text.encode()).decode()
    defaults.apply(secret)


def account_created(account: Obj) -> None:
    """Of the references to secrets only the names count."""
    if account.get("secrets"):
        account["secrets"] = [{k: v for k, v in entry.items() if k == "name"} for entry in account["secrets"]]


def account_changed(account: Obj, old: Obj) -> None:
    account_created(account)
