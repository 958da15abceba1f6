"""The agent's settings: one frozen record, read from YAML, unknown keys refused (see `kit.settings`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class AgentSettings:
    node_name: str
    """The Node's name; pods with this spec.nodeName are ours."""
    node_ip: str = ""
    """Address the node and host-network pods report, or one of each family separated by a comma; empty: the address of
    the route to the API server."""
    kubeconfig: Path | None = None
    """How to reach the API server; none: standalone, static pods only."""

    root_dir: Path = Path("/var/lib/wherry/agent")
    """pods/<uid>/... and the agent's few small files."""
    pod_log_dir: Path = Path("/var/log/pods")
    """<namespace>_<name>_<uid>/<container>/<n>.log, written by the runtime."""
    system_log_dir: Path = Path("/var/log")
    """What /logs/ of the kubelet API shows, to whoever may `get nodes/log`."""
    cri_socket: Path = Path("/run/containerd/containerd.sock")
    """Unix socket of a CRI v1 runtime."""
    streaming_host: str = "127.0.0.1"
    """Where the runtime's exec/attach/port-forward URLs may lead."""

    cdi_spec_dirs: tuple[Path, ...] = (Path("/etc/cdi"), Path("/var/run/cdi"))
    """Where specifications of CDI devices lie, for a runtime that reads none itself; of two of a name the later
    counts."""

    cluster_dns: tuple[str, ...] = ()
    """Name servers given to ClusterFirst pods; empty: those pods get the host's."""
    cluster_domain: str = "cluster.local"
    """Last two labels of every Service name."""
    resolv_conf: Path | None = Path("/etc/resolv.conf")
    """The resolver file that dnsPolicy Default hands on; null: such pods ask only themselves, as upstream's kubelet
    with an empty --resolv-conf."""

    seccomp_default: bool = False
    """Containers that say nothing of seccomp run under the runtime's own profile instead of unconfined, as upstream's
    seccompDefault."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Namespaced sysctls pods may set beside the safe ones: names, or prefixes ending in * (net.core.*)."""

    cgroup_root: str = "/"
    """Parent of kubepods; one per agent where several share a machine."""
    manage_cgroups: bool = True
    """Create the QoS and pod cgroups; off: the runtime places containers where it likes."""

    bind_address: str = "0.0.0.0"
    """Where the kubelet API listens."""
    port: int = 10250
    """The kubelet API's port, published in the Node."""
    tls_cert_file: Path | None = None
    """Serving certificate; none: one is made and self-signed under root_dir."""
    tls_key_file: Path | None = None
    """Its key."""
    client_ca_file: Path | None = None
    """CA whose client certificates may use the kubelet API."""
    healthz_port: int = 10248
    """Plain HTTP /healthz on loopback; 0: none."""

    max_pods: int = 110
    """The Node's pods capacity."""
    register_node: bool = True
    """Create the Node object where it is missing."""
    register_labels: dict[str, str] = field(default_factory=dict)
    """Labels set at registration."""
    register_taints: tuple[str, ...] = ()
    """key=value:effect, set at registration."""
    provider_id: str = ""
    """spec.providerID."""
    static_pod_dir: Path | None = None
    """Directory of pod manifests."""
    file_check_seconds: float = 20.0
    """How often the manifests are read again where no file event came."""

    lease_seconds: float = 10.0
    """Lease renewal; the lease lasts four times this."""
    node_status_seconds: float = 10.0
    """How often the node status is computed; it is written when it changed or every
    node_status_report_seconds."""
    node_status_report_seconds: float = 300.0
    """Unchanged node status is still written this often."""

    relist_seconds: float = 30.0
    """Full runtime relist while events flow; without an event stream it is 1 s, as upstream's."""
    resync_seconds: float = 60.0
    """Every pod is looked at again at least this often."""
    parallel_starts: int = 0
    """Sandboxes and containers being started at the same time; 0: two per CPU, as starting is CPU bound."""
    parallel_pulls: int = 4
    """Images pulled at the same time."""
    max_container_backoff_seconds: float = 300.0
    """CrashLoopBackOff ceiling."""
    runtime_request_seconds: float = 120.0
    """Deadline of ordinary CRI calls, as upstream's --runtime-request-timeout."""
    container_log_max_bytes: int = 10 * 1024 * 1024
    """A log file is rotated beyond this."""
    container_log_max_files: int = 5
    """Rotated files kept per container."""
    log_level: str = "info"
    """debug | info | warning | error"""
