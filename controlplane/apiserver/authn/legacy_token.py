"""Service account tokens that lie in a Secret: they have no end of their own and are good while the Secret holds them.

Source: kubernetes.io "Manually create a long-lived API token for a ServiceAccount".
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from apimachinery.objects import Obj
from controlplane.apiserver.authn.keys import PublicKey
from controlplane.apiserver.authn.service_account import BAD_SIGNATURE, Lookup, TokenInvalid
from controlplane.apiserver.authn.user import service_account_groups, service_account_name
from controlplane.apiserver.request import User

ISSUER = "kubernetes/serviceaccount"
_PREFIX = "kubernetes.io/serviceaccount"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
LAST_USED = "kubernetes.io/legacy-token-last-used"


def is_one(token: str) -> bool:
    """Whether a token says that it is one of these; nothing of it is believed yet."""
    try:
        return bool(jwt.decode(token, options={"verify_signature": False}).get("iss") == ISSUER)
    except jwt.PyJWTError:
        return False


def user_of(token: str, keys: Mapping[str, PublicKey], lookup: Lookup, used: Callable[[Obj], None]) -> User:
    """Whom the token stands for. `used` is told of its Secret, also where that was marked as invalid.

    Raises TokenInvalid when nobody known signed it, or its Secret or account is gone.
    """
    claims = _verified(token, keys)
    parts = ("namespace", "secret.name", "service-account.name", "service-account.uid")
    namespace, secret_name, name, uid = (str(claims.get(f"{_PREFIX}/{part}") or "") for part in parts)
    if not all((namespace, secret_name, name, uid)) or claims.get("sub") != service_account_name(namespace, name):
        raise TokenInvalid("the token does not say which account and Secret it is of")
    secret = lookup("Secret", namespace, secret_name)
    if secret is None or secret["metadata"].get("deletionTimestamp"):
        raise TokenInvalid("Token has been invalidated")
    if not hmac.compare_digest(_stored(secret.get("data") or {}), token.encode()):
        raise TokenInvalid("Token does not match server's copy")
    account = lookup("ServiceAccount", namespace, name)
    if account is None or account["metadata"].get("deletionTimestamp") or account["metadata"].get("uid") != uid:
        raise TokenInvalid(f"ServiceAccount {namespace}/{name} is gone, or another of its name")
    used(secret)
    if (secret["metadata"].get("labels") or {}).get(INVALID_SINCE):
        raise TokenInvalid("the token has been marked invalid")
    return User(service_account_name(namespace, name), uid, service_account_groups(namespace), {})


def _verified(token: str, keys: Mapping[str, PublicKey]) -> dict[str, Any]:
    for key in keys.values():
        try:
            return dict(jwt.decode(token, key.key, algorithms=[key.algorithm], issuer=ISSUER))
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            continue
        except jwt.PyJWTError as error:
            raise TokenInvalid(str(error)) from error
    raise TokenInvalid(BAD_SIGNATURE)


def _stored(data: Mapping[str, str]) -> bytes:
    try:
        return base64.b64decode(data.get("token") or "", validate=True)
    except (binascii.Error, ValueError):
        return b""
