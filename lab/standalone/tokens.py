"""Bootstrap tokens: what they look like, and the signature by which who has one believes `cluster-info`.

Source: kubernetes.io "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import datetime
import re
import secrets
from dataclasses import dataclass
from typing import Any

from apimachinery import bootstrap_tokens
from apimachinery.timestamps import format_time

NAMESPACE = bootstrap_tokens.SECRETS_NAMESPACE
GROUP = "system:bootstrappers:kubeadm:default-node-token"
TYPE = bootstrap_tokens.TYPE
SIGNATURE = bootstrap_tokens.SIGNATURE_PREFIX
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")


class TokenError(ValueError):
    """What was given is no bootstrap token."""


@dataclass(frozen=True)
class Token:
    """`ident` is public, `secret` is not."""

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
        "metadata": {"namespace": NAMESPACE, "name": f"{bootstrap_tokens.SECRET_PREFIX}{token.ident}"},
        "stringData": data,
    }


def sign(token: Token, content: str) -> str:
    """The detached signature of `content`: HEADER..SIGNATURE."""
    return bootstrap_tokens.sign(token.ident, token.secret, content)


def signed(token: Token, content: str, signature: str) -> bool:
    """Whether whoever signed `content` knows the token."""
    return bootstrap_tokens.is_signed(token.secret, content, signature)
