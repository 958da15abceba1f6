"""x509 client certificates: the common name is the user, every organization a group."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from controlplane.apiserver.authn.user import CREDENTIAL_ID
from controlplane.apiserver.request import User


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
