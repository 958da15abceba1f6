"""Bootstrap tokens: what they look like, and the signature by which who has one believes ``cluster-info``.

Source: kubernetes.io "Authenticating with Bootstrap Tokens"; RFC 7515 (detached JWS, HS256).
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any

from apimachinery.timestamps import format_time

NAMESPACE = "kube-system"
GROUP = "system:bootstrappers:kubeadm:default-node-token"
TYPE = "bootstrap.kubernetes.io/token"
SIGNATURE = "jws-kubeconfig-"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")


class TokenError(ValueError):
    """What was given is no bootstrap token."""


@dataclass(frozen=True)
class Token:
    """``ident`` is public, ``secret`` is not."""

    ident: str
    secret: str

    def __str__(self) -> str:
        return f"{self.ident}.{self.secret}"


def parse(text: str) -> Token:
    """ID.SECRET. TokenError, which does not repeat what it was given."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise TokenError("a bootstrap token is six letters or digits, a dot, and sixteen more (small letters)")
    return Token(match[1], match[2])


def new() -> Token:
    """One that nobody can guess."""
    return Token(*("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (6, 16)))


def secret(token: Token, expires: datetime.datetime | None) -> dict[str, Any]:
    """The Secret that makes the API server know the token; never expiring without a time."""
    data = {
        "token-id": token.ident,
        "token-secret": token.secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUP,
        **({"expiration": format_time(expires)} if expires else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": {"namespace": NAMESPACE, "name": f"bootstrap-token-{token.ident}"},
        "stringData": data,
    }


def sign(token: Token, content: str) -> str:
    """The detached signature of ``content``: HEADER..SIGNATURE."""
    header = _base64(b'{"alg":"HS256","kid":"' + token.ident.encode() + b'"}')
    signed = f"{header}.{_base64(content.encode())}".encode()
    return f"{header}..{_base64(hmac.digest(token.secret.encode(), signed, hashlib.sha256))}"


def signed(token: Token, content: str, signature: str) -> bool:
    """Whether whoever signed ``content`` knows the token. The header is part of what was signed, whatever its form."""
    header, _, rest = signature.partition("..")
    if not rest or header == "":
        return False
    expected = hmac.digest(token.secret.encode(), f"{header}.{_base64(content.encode())}".encode(), hashlib.sha256)
    return hmac.compare_digest(_base64(expected), rest)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
