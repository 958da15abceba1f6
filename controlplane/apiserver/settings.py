"""Settings of the API server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """One field a setting; units and reasons beside each."""

    # Where the state file lies.
    data_dir: Path
    # Addresses and port of the secure listener.
    bind_host: str = "0.0.0.0"
    port: int = 6443
    # What the kubernetes Service's endpoint says; "" leaves the endpoint out.
    advertise_address: str = ""
    # The range of cluster IPs; its first address is the kubernetes Service's.
    service_cidr: str = "10.96.0.0/12"
    # First and last node port.
    node_port_range: str = "30000-32767"
    # The listener's certificate (with chain) and key, PEM.
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    # Whose client certificates are believed.
    client_ca_file: Path | None = None
    # CSV of token,user,uid,"group1,group2".
    token_file: Path | None = None
    # Signs service account tokens (PEM private key).
    service_account_key_file: Path | None = None
    service_account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    # How this server proves itself to kubelets, and whose kubelets it believes.
    kubelet_client_cert_file: Path | None = None
    kubelet_client_key_file: Path | None = None
    kubelet_ca_file: Path | None = None
    authorization_mode: tuple[str, ...] = ("Node", "RBAC")
    # Seconds of history kept for watches that resume and lists that continue.
    history_seconds: int = 300
    # Seconds that running requests get to finish when the server stops.
    shutdown_seconds: int = 10
    log_level: str = "info"
    # Admission steps to leave out, by name.
    disable_admission: tuple[str, ...] = field(default_factory=tuple)
