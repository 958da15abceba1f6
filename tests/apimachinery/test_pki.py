import datetime
import ssl
from pathlib import Path

from cryptography import x509

from apimachinery import pki


def handshake(tmp_path: Path, server: pki.KeyPair, client: pki.KeyPair, ca: pki.KeyPair, hostname: str) -> bytes:
    for name, data in {"ca": ca.cert_pem, "s.crt": server.cert_pem, "s.key": server.key_pem,
                       "c.crt": client.cert_pem, "c.key": client.key_pem}.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    serving.load_verify_locations(tmp_path / "ca")
    serving.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=str(tmp_path / "ca"))
    calling.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    s = serving.wrap_bio(a, b, server_side=True)
    c = calling.wrap_bio(b, a, server_hostname=hostname)
    for _ in range(6):
        for side in (c, s):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = s.getpeercert(binary_form=True)
    assert der is not None
    return der


def test_issued_certificates_shake_hands(tmp_path: Path) -> None:
    ca = pki.new_ca("wherry")
    server = pki.issue(ca, "kube-apiserver", dns=["kubernetes"], ips=["127.0.0.1", "::1"], server=True)
    client = pki.issue(ca, "system:node:n1", ["system:nodes", "extra"], client=True)
    der = handshake(tmp_path, server, client, ca, "127.0.0.1")
    assert pki.identity(der) == pki.Identity("system:node:n1", ("system:nodes", "extra"))
    assert pki.identity(client.cert_pem) == pki.identity(der)


def test_never_outlives_its_authority() -> None:
    ca = pki.new_ca("short", days=3)
    leaf = pki.issue(ca, "x", client=True, days=365)
    assert pki.expires(leaf.cert_pem) == pki.expires(ca.cert_pem)
    assert pki.expires(ca.cert_pem) - datetime.datetime.now(datetime.timezone.utc) < datetime.timedelta(days=3)
    certificate = x509.load_pem_x509_certificate(ca.cert_pem)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_service_account_key() -> None:
    key = pki.service_account_key()
    modulus, exponent = pki.rsa_numbers(key)
    assert modulus.bit_length() == 2048 and exponent == 65537
    assert pki.public_key_pem(key).startswith(b"-----BEGIN PUBLIC KEY-----")
