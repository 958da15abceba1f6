"""Service account keys: PEM in, key ids and the JSON Web Key Set out.

The key id is the unpadded base64url SHA-256 of the public key's DER form (SubjectPublicKeyInfo), as upstream computes
it, so that tokens stay verifiable when a key moves between implementations.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from apimachinery import pki

CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class KeyFileError(Exception):
    """A key cannot be used for service account tokens."""


@dataclass(frozen=True)
class PublicKey:
    key_id: str
    algorithm: str
    key: Any
    jwk: dict[str, Any]


@dataclass(frozen=True)
class SigningKey:
    key: Any
    public: PublicKey


def load_signing_key(pem: bytes) -> SigningKey:
    """A private RSA or EC key in PEM form; raises KeyFileError when it is anything else."""
    private = _prepare(pem)
    if not hasattr(private, "public_key"):
        raise KeyFileError("the service account signing key holds no private key")
    return SigningKey(private, _public(private.public_key()))


def load_public_key(pem: bytes) -> PublicKey:
    """A public (or private) RSA or EC key in PEM form, for verifying."""
    key = _prepare(pem)
    return _public(key.public_key() if hasattr(key, "public_key") else key)


def key_set(keys: tuple[PublicKey, ...]) -> dict[str, Any]:
    """The JSON Web Key Set (RFC 7517) that outside verifiers fetch."""
    return {"keys": [key.jwk for key in keys]}


def openid_configuration(issuer: str, jwks_uri: str, keys: tuple[PublicKey, ...]) -> dict[str, Any]:
    """The OpenID provider document of the issuer (OpenID Connect Discovery 1.0, as far as tokens need it)."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
    }


def _prepare(pem: bytes) -> Any:
    with contextlib.suppress(ValueError, TypeError):
        return pki.trusted_key(pem)
    for algorithm in (RSAAlgorithm(RSAAlgorithm.SHA256), ECAlgorithm(ECAlgorithm.SHA256)):
        try:
            return algorithm.prepare_key(pem)
        except (jwt.InvalidKeyError, ValueError, TypeError):
            continue
    raise KeyFileError("not an RSA or EC key in PEM form")


def _public(key: Any) -> PublicKey:
    jwk: dict[str, Any]
    if hasattr(key, "curve"):
        jwk = orjson.loads(ECAlgorithm.to_jwk(key))
        algorithm = CURVES.get(jwk["crv"], "")
        if not algorithm:
            raise KeyFileError(f"curve {jwk['crv']} cannot sign service account tokens")
        der = _spki_ec(jwk)
    else:
        jwk = orjson.loads(RSAAlgorithm.to_jwk(key))
        algorithm = "RS256"
        der = _spki_rsa(jwk)
    key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    names: tuple[str, ...] = ("kty", "n", "e", "crv", "x", "y")
    fields = {name: jwk[name] for name in names if name in jwk}
    return PublicKey(key_id, algorithm, key, {"use": "sig", "kid": key_id, "alg": algorithm, **fields})


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _der(tag: int, body: bytes) -> bytes:
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def _der_integer(number: bytes) -> bytes:
    return _der(2, b"\0" + number if number[0] & 0x80 else number)


# Algorithm identifiers of RFC 3279 and RFC 5480, DER encoded.
_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
_EC_ALGORITHMS = {
    "P-256": bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
    "P-384": bytes.fromhex("301006072a8648ce3d020106052b81040022"),
    "P-521": bytes.fromhex("301006072a8648ce3d020106052b81040023"),
}


def _spki_rsa(jwk: dict[str, Any]) -> bytes:
    numbers = _der(0x30, _der_integer(_bytes(jwk["n"])) + _der_integer(_bytes(jwk["e"])))
    return _der(0x30, _RSA_ENCRYPTION + _der(3, b"\0" + numbers))


def _spki_ec(jwk: dict[str, Any]) -> bytes:
    point = b"\x04" + _bytes(jwk["x"]) + _bytes(jwk["y"])
    return _der(0x30, _EC_ALGORITHMS[jwk["crv"]] + _der(3, b"\0" + point))
