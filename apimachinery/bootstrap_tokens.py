"""Bootstrap tokens as signatures: whoever has one can check what `cluster-info` says without knowing its server.

Source: kubernetes.io "Authenticating with Bootstrap Tokens", ConfigMap signing; RFC 7515 (detached JWS, HS256).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

TYPE = "bootstrap.kubernetes.io/token"
SECRETS_NAMESPACE, SECRET_PREFIX = "kube-system", "bootstrap-token-"
INFO_NAMESPACE, INFO, SIGNED_KEY = "kube-public", "cluster-info", "kubeconfig"
SIGNATURE_PREFIX = "jws-kubeconfig-"


def sign(ident: str, secret: str, content: str) -> str:
    """The detached signature of `content`: HEADER..SIGNATURE."""
    header = _base64(b'{"alg":"HS256","kid":"' + ident.encode() + b'"}')
    return f"{header}..{_signature(header, secret, content)}"


def is_signed(secret: str, content: str, signature: str) -> bool:
    """Whether whoever signed `content` knows the token. The header is part of what was signed, whatever its form."""
    header, _, rest = signature.partition("..")
    return bool(rest and header) and hmac.compare_digest(_signature(header, secret, content), rest)


def _signature(header: str, secret: str, content: str) -> str:
    signed = f"{header}.{_base64(content.encode())}".encode()
    return _base64(hmac.digest(secret.encode(), signed, hashlib.sha256))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
