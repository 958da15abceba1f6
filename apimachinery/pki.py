"""Certificates and keys: authorities, what they issue, and the service account signing key.

Owns nothing on disk: results are PEM bytes, and whoever writes a key writes it with mode 0600. The only door to
`cryptography`. EC keys lie on P-256; the service account key is RSA-2048, signing RS256 as upstream's does.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "Identity",
    "KeyPair",
    "SigningRequest",
    "authority_key",
    "expires",
    "identity",
    "is_issued_by",
    "issue",
    "named",
    "new_ca",
    "no_certificates",
    "opened",
    "public_key_hash",
    "public_key_pem",
    "rsa_numbers",
    "service_account_key",
    "signing_request",
    "trusted_key",
    "validity",
]

# Clocks of nodes drift; a certificate valid from this instant would be refused by a node that lags.
BACKDATE = datetime.timedelta(hours=1)
_BLOCK = re.compile(rb"-----BEGIN ([^-\n]+)-----\s*?\n(.*?)-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key (PKCS #8), both PEM."""

    cert_pem: bytes
    key_pem: bytes


@dataclass(frozen=True)
class SigningRequest:
    """A certificate signing request and its private key, both PEM."""

    csr_pem: bytes
    key_pem: bytes


@dataclass(frozen=True)
class Identity:
    """Whom a client certificate names: user (common name) and groups (organizations)."""

    user: str
    groups: tuple[str, ...]


def new_ca(common_name: str, days: int = 3650) -> KeyPair:
    """A new self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name, ())
    usage = _usage(certificates=True)
    builder = (
        _builder(name, name, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(
    ca: KeyPair,
    common_name: str,
    organizations: Iterable[str] = (),
    dns: Iterable[str] = (),
    ips: Iterable[str] = (),
    server: bool = False,
    client: bool = False,
    days: int = 365,
) -> KeyPair:
    """A new key and its certificate signed by `ca`, for serving (dns, ips), for clients, or for both.

    It never outlives its authority.
    """
    authority, signer = opened(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(common_name, organizations), authority.subject, key.public_key(), days, authority)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(authority_key(authority), critical=False)
    )
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if alternatives := _alternatives(dns, ips):
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def is_issued_by(der: bytes, authority: bytes) -> bool:
    """Whether an authority has signed a certificate itself; both in DER. Whether it was to is not looked at."""
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(x509.load_der_x509_certificate(authority))
    except (ValueError, TypeError, x509.InvalidVersion, InvalidSignature):
        return False
    return True


def opened(ca: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
    """An authority's certificate and key. ValueError for what is none."""
    signer = serialization.load_pem_private_key(ca.key_pem, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the authority's key must be an EC or RSA key")
    return x509.load_pem_x509_certificate(ca.cert_pem), signer


def signing_request(
    common_name: str, organizations: Iterable[str] = (), dns: Iterable[str] = (), ips: Iterable[str] = ()
) -> SigningRequest:
    """A new key and a request for a certificate of it (PKCS #10)."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, organizations))
    if alternatives := _alternatives(dns, ips):
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    return SigningRequest(signed.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def public_key_hash(cert_pem: bytes) -> str:
    """sha256:HEX of a certificate's SubjectPublicKeyInfo, as kubeadm pins authorities (RFC 7469, 2.4). ValueError."""
    public = x509.load_pem_x509_certificate(cert_pem).public_key()
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def service_account_key() -> bytes:
    """A new RSA-2048 private key, PEM."""
    return _key_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def trusted_key(pem: bytes) -> rsa.RSAPrivateKey:
    """An RSA key of one's own in PEM form, proven by a signature and not by its primes, which takes 30 to 50 ms, a
    third of what a start of the API server did beside its imports. Raises ValueError, TypeError for anything else.
    """
    key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not an RSA key")
    try:
        signed = key.sign(pem, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signed, pem, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise ValueError("the numbers of an RSA key do not belong together") from error
    return key


def public_key_pem(private_key_pem: bytes) -> bytes:
    """The public half of a private key, PEM."""
    public = serialization.load_pem_private_key(private_key_pem, password=None).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def rsa_numbers(private_key_pem: bytes) -> tuple[int, int]:
    """Modulus and exponent of an RSA key, for a JWKS document (RFC 7518 §6.3.1)."""
    key = serialization.load_pem_private_key(private_key_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    numbers = key.public_key().public_numbers()
    return numbers.n, numbers.e


def identity(certificate: bytes) -> Identity:
    """The user and groups of a client certificate, DER or PEM."""
    pem = certificate.lstrip().startswith(b"-----BEGIN")
    load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
    return named(load(certificate).subject)


def named(subject: x509.Name) -> Identity:
    """Whom a subject names."""
    users = [str(found.value) for found in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(found.value) for found in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return Identity(users[0] if users else "", tuple(groups))


def no_certificates(data: bytes) -> str:
    """What is wrong with certificates in PEM, in upstream's words; "" when nothing is, or nothing is there."""
    blocks = _BLOCK.findall(data)
    for kind, body in blocks:
        if kind != b"CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode(errors="replace")}"'
        if b":" in body:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(base64.b64decode(body))
        except ValueError:
            return "x509: malformed certificate"
        except x509.InvalidVersion:
            return "x509: invalid version"
    return "must contain at least one CERTIFICATE PEM block" if data and not blocks else ""


def expires(cert_pem: bytes) -> datetime.datetime:
    """When a certificate ends, aware, UTC."""
    return x509.load_pem_x509_certificate(cert_pem).not_valid_after_utc


def _alternatives(dns: Iterable[str], ips: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys(dns)]
    return [*names, *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in dict.fromkeys(ips))]


def validity(cert_pem: bytes) -> tuple[datetime.datetime, datetime.datetime]:
    """From when until when a certificate is good, aware, UTC."""
    found = x509.load_pem_x509_certificate(cert_pem)
    return found.not_valid_before_utc, found.not_valid_after_utc


def _name(common_name: str, organizations: Iterable[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    days: int,
    authority: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    start, end = now - BACKDATE, now + datetime.timedelta(days=days)
    if authority is not None:
        start = max(start, authority.not_valid_before_utc)
        end = min(end, authority.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _usage(certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=certificates,
        crl_sign=certificates,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority_key(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The extension by which what an authority issued names its key."""
    try:
        found = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        public = authority.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ValueError("the authority's key must be an EC or RSA key") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
