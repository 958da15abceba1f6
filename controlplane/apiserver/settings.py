"""Settings of the API server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """One API server; files are PEM unless said otherwise."""

    data_dir: Path
    """Where the store keeps its files; nobody else may look into it."""
    store: str = "sqlite"
    """Which store: sqlite, a file of this server's alone, or etcd, which several servers share."""
    etcd_servers: tuple[str, ...] = ()
    """etcd's members as URLs, https://10.0.0.1:2379; plain http only where nobody else reaches them."""
    etcd_ca_file: Path | None = None
    """Whose members are believed."""
    etcd_cert_file: Path | None = None
    """How this server proves itself to them."""
    etcd_key_file: Path | None = None
    """Its key."""
    etcd_prefix: str = "/registry"
    """Everything below it is this cluster's."""
    bind_host: str = "0.0.0.0"
    """Address of the secure listener."""
    shared_host: str = ""
    """An address at which every API server of this machine listens, too: the kernel gives each connection to one that
    is there. Empty: none."""
    port: int = 6443
    """Port of the secure listener."""
    advertise_address: str = ""
    """The address in the kubernetes Service's endpoint; empty: that Service gets no endpoint."""
    service_cidr: str = "10.96.0.0/12"
    """The range of cluster IPs, or one of each family separated by a comma; the first address of the first is the
    kubernetes Service's."""
    node_port_range: str = "30000-32767"
    """First and last node port."""
    tls_cert_file: Path | None = None
    """The listener's certificate, with its chain; none: plain HTTP."""
    tls_key_file: Path | None = None
    """Its key."""
    client_ca_file: Path | None = None
    """Whose client certificates are believed; none: nobody's."""
    token_file: Path | None = None
    """CSV of token,user,uid,"group1,group2"."""
    bootstrap_token_auth: bool = False
    """Believe bootstrap tokens: Secrets of type bootstrap.kubernetes.io/token in kube-system, as upstream's
    --enable-bootstrap-token-auth."""
    service_account_key_file: Path | None = None
    """Private key that signs service account tokens."""
    service_account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    """The tokens' iss claim, and their audience where none is asked for."""
    service_account_jwks_uri: str = ""
    """Where verifiers of the tokens find the keys; empty: at this server's advertised address."""
    kubelet_client_cert_file: Path | None = None
    """How this server proves itself to kubelets."""
    kubelet_client_key_file: Path | None = None
    """Its key."""
    kubelet_ca_file: Path | None = None
    """Whose kubelets are believed."""
    proxy_client_cert_file: Path | None = None
    """How this server proves to those behind APIServices that it may say who asks; none: it says so unproven."""
    proxy_client_key_file: Path | None = None
    """Its key."""
    requestheader_client_ca_file: Path | None = None
    """Whose client certificates show servers in front that name the user in headers (X-Remote-User, …); none: nobody's.
    It must be another authority than client_ca_file's, or whoever has a certificate of that one could be anybody."""
    requestheader_allowed_names: tuple[str, ...] = ("front-proxy-client",)
    """The common names of those certificates; empty: any."""
    authorization_mode: tuple[str, ...] = ("Node", "RBAC")
    """Asked in this order; the first that allows decides."""
    policy_file: Path | None = None
    """Roles and bindings of this installation, made and mended at every start as upstream's default ones are, in the
    notation of authz/bootstrap_policy.txt."""
    serve_metrics: bool = False
    """Serve metrics.k8s.io from the summaries of the nodes' agents, so that no metrics-server is needed."""
    history_seconds: int = 300
    """History kept for watches that resume and lists that continue."""
    event_ttl: int = 3600
    """Seconds that an Event is kept after it was last written; 0: for ever."""
    backup_dir: Path | None = None
    """Where scheduled backups go, best on another disk; none: into backups/ of data_dir."""
    backup_seconds: int = 0
    """Every so many seconds one is made; 0: none."""
    backup_count: int = 24
    """So many of them are kept."""
    backup_days: float = 7.0
    """And none of them for longer, but the newest; 0: however old they are."""
    shutdown_seconds: int = 10
    """What running requests get to finish when the server stops."""
    shutdown_delay_seconds: float = 0.0
    """Before that it serves as ever for so long, but that /readyz says it will stop: who balances between servers has
    time to hear of it. Upstream's --shutdown-delay-duration."""
    disable_admission: tuple[str, ...] = ()
    """Admission steps to leave out, by name."""
    pod_security_defaults: tuple[str, ...] = ()
    """What pod security does where a namespace's labels say nothing: enforce=baseline, warn=restricted:v1.30, …;
    privileged, latest otherwise."""
    pod_security_exemptions: tuple[str, ...] = ()
    """Whom pod security lets pass: namespace=NAME, user=NAME, runtimeClass=NAME."""
    constrained_impersonation: bool = False
    """Ask for the constrained modes of impersonation (KEP-5284) before the verb `impersonate`, as upstream's feature of
    that name does. On in labs: 1.36's notes say that it is on by default; off here, since recorded answers of a 1.36.2
    server know the old way alone."""
    warn_of_gaps: bool = False
    """Tell who writes a kind or a field that this project's own loops and nodes do not act on yet. On where those are
    what runs beside this server, off where others do."""
    keep_quota_statuses: bool = False
    """Write the statuses of quotas when nothing is created, too: of new and changed quotas, and after what is counted
    went. On in labs; off where a kube-controller-manager's loop does that beside this server. What quotas refuse is the
    same either way."""
    log_level: str = "info"
    """debug | info | warning | error"""

    @property
    def service_cidrs(self) -> tuple[str, ...]:
        """`service_cidr` as a list."""
        return tuple(text.strip() for text in self.service_cidr.split(","))
