"""Certificates that others ask for: what a request says, and the certificate it leads to.

The requester keeps its key; the authority's stays where `pki` read it. Usages are those of the certificates.k8s.io API.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from apimachinery import pki

__all__ = ["Request", "requested", "sign"]

# Clocks drift. What lives for less than SHORT loses nothing of its life to that (upstream's signer does the same).
BACKDATE, SHORT = datetime.timedelta(minutes=5), datetime.timedelta(hours=8)
_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_PURPOSES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}

# Whoever asks writes these, too; the library does not count them among its ValueErrors.
_UNREADABLE = (UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


@dataclass(frozen=True)
class Request:
    """Whom a request names, and the alternative names it asks for."""

    user: str
    groups: tuple[str, ...]
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def requested(request_pem: bytes) -> Request:
    """What a certificate signing request asks for. Raises ValueError with upstream's words for what it is not, and with
    the library's for what that cannot read."""
    try:
        return _requested(request_pem)
    except _UNREADABLE as error:
        raise ValueError(f"x509: {error}") from error


def _requested(request_pem: bytes) -> Request:
    if not request_pem.lstrip().startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    request = x509.load_pem_x509_csr(request_pem)
    if not request.is_signature_valid:
        elliptic = isinstance(request.public_key(), ec.EllipticCurvePublicKey)
        raise ValueError("x509: ECDSA verification failure" if elliptic else "crypto/rsa: verification error")
    who, names = pki.named(request.subject), _alternatives(request)
    return Request(
        who.user,
        who.groups,
        tuple(n.value for n in names if isinstance(n, x509.DNSName)),
        tuple(str(n.value) for n in names if isinstance(n, x509.IPAddress)),
        tuple(n.value for n in names if isinstance(n, x509.RFC822Name)),
        tuple(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier)),
    )


def _alternatives(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def sign(
    ca: pki.KeyPair, request_pem: bytes, usages: Iterable[str], life: datetime.timedelta, now: datetime.datetime
) -> bytes:
    """The certificate, PEM: subject, key and alternative names as asked for, every other extension as the authority
    says. It never outlives its authority. ValueError where nothing can be signed.
    """
    authority, signer = pki.opened(ca)
    end_of_authority = authority.not_valid_after_utc
    if now >= end_of_authority:
        raise ValueError(f"refusing to sign a certificate that expired in the past: NotAfter={end_of_authority}")
    request = x509.load_pem_x509_csr(request_pem)
    start = now - BACKDATE
    end = min(now + life if life < SHORT else start + life, end_of_authority)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in _extensions(request, tuple(usages)):
        builder = builder.add_extension(extension, critical)
    builder = builder.add_extension(pki.authority_key(authority), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _extensions(
    request: x509.CertificateSigningRequest, usages: tuple[str, ...]
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    unknown = [usage for usage in usages if usage not in _USAGES and usage not in _PURPOSES]
    if unknown:
        raise ValueError(f"unrecognized usage values: {unknown}")
    bits = dict.fromkeys(_USAGES.values(), False) | {_USAGES[usage]: True for usage in usages if usage in _USAGES}
    if not bits["key_agreement"]:
        # Without a key agreement these two mean nothing (RFC 5280 §4.2.1.3).
        bits["encipher_only"] = bits["decipher_only"] = False
    if any(bits.values()):
        yield x509.KeyUsage(**bits), True
    purposes = list(dict.fromkeys(_PURPOSES[usage] for usage in usages if usage in _PURPOSES))
    if purposes:
        yield x509.ExtendedKeyUsage(purposes), False
    yield x509.BasicConstraints(ca=False, path_length=None), True
    names = _alternatives(request)
    kept = [n for n in names if isinstance(n, _KEPT)]
    if kept:
        yield x509.SubjectAlternativeName(kept), not list(request.subject)


_KEPT = x509.DNSName | x509.IPAddress | x509.RFC822Name | x509.UniformResourceIdentifier
