"""Certificates made of requests: openssl's and our own reader agree on what they say."""

from __future__ import annotations

import base64
import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from apimachinery import pki, signing

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
HOUR = datetime.timedelta(hours=1)
NAMES = (
    x509.DNSName("node.example.com"),
    x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
    x509.RFC822Name("a@example.com"),
    x509.UniformResourceIdentifier("spiffe://x"),
)


def request(*names: x509.GeneralName, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None) -> bytes:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in ("b", "a")]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, "jane"))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("elliptic", [True, False])
def test_a_certificate_says_what_was_asked_for_and_no_more(elliptic: bool) -> None:
    key = ec.generate_private_key(ec.SECP256R1()) if elliptic else rsa.generate_private_key(65537, 2048)
    ca = pki.new_ca("authority")
    pem = request(*NAMES, key=key)
    asked = signing.requested(pem)
    assert asked == signing.Request(
        "jane", ("b", "a"), ("node.example.com",), ("10.0.0.1",), ("a@example.com",), ("spiffe://x",)
    )
    made = signing.sign(ca, pem, ("client auth", "key encipherment", "digital signature"), 24 * HOUR, NOW)
    found = x509.load_pem_x509_certificate(made)
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.cert_pem))
    assert pki.identity(made) == pki.Identity("jane", ("b", "a"))
    get = found.extensions.get_extension_for_class
    assert list(get(x509.SubjectAlternativeName).value) == list(NAMES)
    assert list(get(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    usage = get(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    # Whoever asks for an authority of its own gets none.
    assert get(x509.BasicConstraints).value.ca is False
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (
        NOW - signing.BACKDATE,
        NOW + 24 * HOUR - signing.BACKDATE,
    )


def test_a_short_life_is_given_whole_and_none_outlives_the_authority() -> None:
    ca = pki.new_ca("authority", days=1)
    short = signing.sign(ca, request(), ("any",), HOUR, NOW)
    assert pki.expires(short) == NOW + HOUR
    assert pki.expires(signing.sign(ca, request(), ("any",), 99 * HOUR, NOW)) == pki.expires(ca.cert_pem)
    with pytest.raises(ValueError, match="expired in the past"):
        signing.sign(ca, request(), ("any",), HOUR, NOW + 25 * HOUR)


@pytest.mark.parametrize("usage", [*signing._USAGES, *signing._PURPOSES])
def test_every_usage_of_the_api_can_be_signed(usage: str) -> None:
    assert signing.sign(pki.new_ca("authority"), request(), (usage,), HOUR, NOW)


def test_an_unknown_usage_is_refused() -> None:
    with pytest.raises(ValueError, match="unrecognized usage values"):
        signing.sign(pki.new_ca("authority"), request(), ("flying",), HOUR, NOW)


def edited(was: str, becomes: str) -> bytes:
    """A request with some of its bytes, in hex, replaced by others."""
    der = x509.load_pem_x509_csr(request()).public_bytes(serialization.Encoding.DER)
    assert bytes.fromhex(was) in der
    body = base64.encodebytes(der.replace(bytes.fromhex(was), bytes.fromhex(becomes)))
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


def of_mail_addresses() -> bytes:
    """A request for a name in a directory of X.400."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    named = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3004a3020500"))
    made = builder.add_extension(named, critical=False).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "pem",
    [
        # A curve that is none, a kind of key that is none.
        edited("06082a8648ce3d030107", "06082a8648ce3d030177"),
        edited("06072a8648ce3d0201", "06072a8648ce3d0277"),
        of_mail_addresses(),
    ],
)
def test_what_cannot_be_read_of_a_request_is_its_author_s_fault(pem: bytes) -> None:
    with pytest.raises(ValueError, match="^x509: "):
        signing.requested(pem)
