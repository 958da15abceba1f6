"""What is to be done with a Secret that holds a token. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from apimachinery import bootstrap_tokens, objects
from apimachinery.bootstrap_tokens import SECRET_PREFIX, SIGNATURE_PREFIX, SIGNED_KEY
from apimachinery.objects import Obj, name, namespace, uid
from apimachinery.timestamps import parse_time

ACCOUNT_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"


@dataclass(frozen=True)
class Fill:
    """The data a Secret lacks, as text; `token`: it needs one, too."""

    data: dict[str, str]
    token: bool


def is_account_token(secret: Obj) -> bool:
    return secret.get("type") == ACCOUNT_TYPE


def account_key(secret: Obj) -> str:
    """The key of the service account that a Secret is for; "" for none."""
    wanted = objects.annotations(secret).get(ACCOUNT_NAME) if is_account_token(secret) else None
    return f"{namespace(secret)}/{wanted}" if wanted else ""


def is_for(secret: Obj, account: Obj | None) -> bool:
    """Whether a Secret may hold a token of the account: it names it, and no other one of its name."""
    wanted = objects.annotations(secret).get(ACCOUNT_UID)
    return account is not None and wanted in (None, "", uid(account))


def fill(secret: Obj, certificate: str) -> Fill | None:
    """What a Secret lacks, None for nothing. `certificate`: of the API server's authority, "" where none is known."""
    has = {key: _text(secret, key) for key in ("ca.crt", "namespace", "token")}
    wanted = {}
    if certificate and has["ca.crt"] != certificate:
        wanted["ca.crt"] = certificate
    if not has["namespace"]:
        wanted["namespace"] = namespace(secret)
    return Fill(wanted, not has["token"]) if wanted or not has["token"] else None


def filled(secret: Obj, account: Obj, todo: Fill, token: str) -> Obj:
    """The Secret with what it lacked."""
    data = {**todo.data, **({"token": token} if todo.token else {})}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    marks = {**objects.annotations(secret), ACCOUNT_NAME: name(account), ACCOUNT_UID: uid(account)}
    metadata = {**secret["metadata"], "annotations": marks}
    return {**secret, "metadata": metadata, "data": {**(secret.get("data") or {}), **encoded}}


def claims(secret: Obj, account: Obj) -> Obj:
    """What the token of a Secret says. It ends with the Secret, and not before."""
    prefix = "kubernetes.io/serviceaccount"
    return {
        "iss": ISSUER,
        f"{prefix}/namespace": namespace(account),
        f"{prefix}/secret.name": name(secret),
        f"{prefix}/service-account.name": name(account),
        f"{prefix}/service-account.uid": uid(account),
        "sub": f"system:serviceaccount:{namespace(account)}:{name(account)}",
    }


def without_reference(account: Obj, secret: str) -> Obj | None:
    """The account without a reference to a Secret that is gone; None where it has none."""
    listed = account.get("secrets") or []
    kept = [found for found in listed if found.get("name") != secret]
    return {**account, "secrets": kept} if len(kept) < len(listed) else None


def ends_in(secret: Obj, now: datetime) -> float | None:
    """Seconds until a bootstrap token ends; None for one that does not, 0 for a time that cannot be read."""
    stamp = _text(secret, "expiration")
    if not stamp:
        return None
    try:
        return max((parse_time(stamp) - now).total_seconds(), 0.0)
    except ValueError:
        return 0.0


def signing(secrets: Iterable[Obj], now: datetime) -> dict[str, str]:
    """The bootstrap tokens that may sign: secret by ID."""
    found = {}
    for secret in secrets:
        ident, value = _text(secret, "token-id"), _text(secret, "token-secret")
        good = secret.get("type") == bootstrap_tokens.TYPE and name(secret) == f"{SECRET_PREFIX}{ident}" and value
        if good and _text(secret, "usage-bootstrap-signing") == "true" and ends_in(secret, now) != 0.0:
            found[ident] = value
    return found


def signed(info: Obj, tokens: dict[str, str]) -> Obj | None:
    """cluster-info with the signatures of these tokens and no other; None where it has them, or has nothing to sign."""
    data = info.get("data") or {}
    content = data.get(SIGNED_KEY)
    if content is None:
        return None
    kept = {key: value for key, value in data.items() if not key.startswith(SIGNATURE_PREFIX)}
    signatures = {
        SIGNATURE_PREFIX + ident: bootstrap_tokens.sign(ident, secret, content) for ident, secret in tokens.items()
    }
    wanted = {**kept, **signatures}
    return {**info, "data": wanted} if wanted != data else None


def _text(secret: Obj, key: str) -> str:
    """A value of the Secret's data as text; what is none is nothing."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
