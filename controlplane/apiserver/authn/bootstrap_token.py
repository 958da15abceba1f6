"""Bootstrap tokens: ID.SECRET, each a Secret in kube-system, for machines that are about to join.

Source: kubernetes.io "Authenticating with Bootstrap Tokens". The object is looked at every time: a token ends when its
Secret goes or its time has come.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Any

from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time
from controlplane.apiserver.authn.service_account import Lookup
from controlplane.apiserver.request import User

NAMESPACE, TYPE = "kube-system", "bootstrap.kubernetes.io/token"
GROUP = "system:bootstrappers"
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(rf"{GROUP}:[a-z0-9:-]{{0,255}}[a-z0-9]")


def user_of(token: str, lookup: Lookup, now: float) -> User | None:
    """Whom the token stands for at `now` (Unix time); None when it is no bootstrap token, or no good."""
    match = _FORM.fullmatch(token)
    if match is None:
        return None
    ident, secret = match.groups()
    found = lookup("Secret", NAMESPACE, f"bootstrap-token-{ident}")
    if found is None or found.get("type") != TYPE or found["metadata"].get("deletionTimestamp"):
        return None
    data = _decoded(found)
    if not hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode()) or data.get("token-id") != ident:
        return None
    if data.get("usage-bootstrap-authentication") != "true" or _ended(data.get("expiration", ""), now):
        return None
    extra = [group.strip() for group in data.get("auth-extra-groups", "").split(",") if group.strip()]
    if not all(_EXTRA_GROUP.fullmatch(group) for group in extra):
        return None
    return User(f"system:bootstrap:{ident}", groups=tuple(sorted({GROUP, *extra})))


def _decoded(secret: Obj) -> dict[str, str]:
    """The Secret's data as text; what is none is left out."""
    found: dict[str, str] = {}
    data: dict[str, Any] = secret.get("data") or {}
    for key, value in data.items():
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            continue
    return found


def _ended(expiration: str, now: float) -> bool:
    """A time that cannot be read is one that has passed."""
    if not expiration:
        return False
    try:
        return parse_time(expiration).timestamp() <= now
    except ValueError:
        return True
