"""The listener's certificate and the check of its clients'."""

from __future__ import annotations

import ssl
from pathlib import Path

from agent.settings import AgentSettings
from apimachinery.kit import webserver
from apimachinery.kit.files import write_atomic


def server_context(settings: AgentSettings, addresses: tuple[str, ...]) -> ssl.SSLContext:
    """TLS with the configured certificate, or one made and signed here; clients may show a certificate."""
    cert, key = settings.tls_cert_file, settings.tls_key_file
    if cert is None or key is None:
        cert, key = own_certificate(settings.root_dir / "pki", settings.node_name, addresses)
    return webserver.tls_context(cert, key, settings.client_ca_file)


def own_certificate(directory: Path, node_name: str, addresses: tuple[str, ...]) -> tuple[Path, Path]:
    """A serving certificate under `directory`, made where there is none yet."""
    cert, key = directory / "kubelet.crt", directory / "kubelet.key"
    if not cert.exists() or not key.exists():
        # Eight megabytes an agent that is given its certificate never needs.
        from apimachinery import pki

        authority = pki.new_ca(f"{node_name}-ca")
        pair = pki.issue(authority, node_name, dns=(node_name,), ips=addresses, server=True)
        directory.mkdir(parents=True, exist_ok=True)
        write_atomic(key, pair.key_pem, 0o600)
        write_atomic(cert, pair.cert_pem + authority.cert_pem, 0o644)
    return cert, key
