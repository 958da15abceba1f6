"""x509 client certificates: the common name is the user, every organization a group; and which authority stands behind
one, where some are believed as clients and others as servers in front.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import pki
from controlplane.apiserver.authn.user import CREDENTIAL_ID
from controlplane.apiserver.request import User

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Fronts:
    """Servers in front, which name the user in headers: whose certificates are believed, in DER, and the common names
    that they may have (none: any). clients: the authorities of clients, which may be some of the same.
    """

    authorities: frozenset[bytes]
    clients: frozenset[bytes]
    names: tuple[str, ...] = ()

    def behind(self, tls: ssl.SSLObject, der: bytes) -> frozenset[bytes]:
        """What a connection's client certificate (der) was proven by, of the authorities at least. Empty where that
        cannot be told: a connection that resumes another has no chain any more, and who has signed the certificate
        itself is found anew.
        """
        every = self.authorities | self.clients
        return _chain(tls) or frozenset(one for one in every if one == der or pki.is_issued_by(der, one))

    def has(self, chain: frozenset[bytes], name: str) -> bool:
        """Whether a certificate of this common name, proven by that chain, is one of such a server."""
        return bool(chain & self.authorities) and (not self.names or name in self.names)

    def is_client(self, chain: frozenset[bytes]) -> bool:
        """Whether a certificate proven by that chain says who its holder is."""
        return bool(chain & self.clients)


def listed(pem: str) -> list[str]:
    """The certificates of a PEM file, each by itself, without what stands between them."""
    return _CERTIFICATE.findall(pem)


def ders(pem: str) -> frozenset[bytes]:
    """The certificates of a PEM file, each in DER."""
    return frozenset(map(ssl.PEM_cert_to_DER_cert, listed(pem)))


def _chain(tls: ssl.SSLObject) -> frozenset[bytes]:
    """What a connection's client certificate was proven by in its handshake, itself and the authority included."""
    if hasattr(tls, "get_verified_chain"):  # Python 3.13
        return frozenset(tls.get_verified_chain())
    found = tls._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
    return frozenset(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found)


def user_of(peer_certificate: Mapping[str, Any], der: bytes | None = None) -> User | None:
    """The user of a verified peer certificate.

    `peer_certificate` is what `ssl.SSLSocket.getpeercert()` gives: its "subject" is a tuple of relative names, each a
    tuple of (type, value) pairs. The TLS layer has verified the chain; certificates without a common name authenticate
    nobody. `der` adds the credential id that upstream records (KEP-4193).
    """
    name = ""
    groups: list[str] = []
    for relative in peer_certificate.get("subject", ()):
        for kind, value in relative:
            if kind == "commonName":
                name = value
            elif kind == "organizationName":
                groups.append(value)
    if not name:
        return None
    extra = {CREDENTIAL_ID: ("X509SHA256=" + hashlib.sha256(der).hexdigest(),)} if der else {}
    return User(name, groups=tuple(groups), extra=extra)
