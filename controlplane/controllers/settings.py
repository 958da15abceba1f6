"""Settings of the controllers; the defaults are upstream's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controlplane.settings import DaemonSettings


@dataclass(frozen=True)
class Settings(DaemonSettings):
    """One process of controllers; periods and graces are seconds.

    Its kubeconfig is of who reads, stands for election and asks for the loops' tokens.
    """

    health_port: int = 10257
    """Port of /healthz and /metrics."""
    use_service_account_credentials: bool = True
    """Each loop acts as a service account of its own, with that account's role; off: all act as the kubeconfig's
    user, who then needs the roles of all of them."""
    cluster_cidr: str = ""
    """The pods' range, or two of them (IPv4 and IPv6) separated by a comma; empty: nodes get no pod range
    from us."""
    node_cidr_mask: int = 24
    """Prefix length of one node's IPv4 pod range."""
    node_cidr_mask_ipv6: int = 64
    """Prefix length of one node's IPv6 pod range."""
    service_account_key_file: Path | None = None
    """Private key that signs service account tokens (PEM)."""
    legacy_token_clean_up_period: float = 365 * 24 * 3600.0
    """How long a token that an older Kubernetes made for a service account may be unused before it is marked as
    invalid, and as long again before it goes."""
    root_ca_file: Path | None = None
    """Published to every namespace as kube-root-ca.crt; none: nothing is published."""
    cluster_signing_cert_file: Path | None = None
    """The authority that signs approved requests of the built-in signers (PEM); none: they are not signed."""
    cluster_signing_key_file: Path | None = None
    """Its key; only this process's user should be able to read it."""
    kubelet_serving_cert_file: Path | None = None
    """Another authority for nodes' serving certificates, as upstream's --cluster-signing-kubelet-serving-cert-file:
    what it signs is believed by who dials nodes, and by nobody as the API server's."""
    kubelet_serving_key_file: Path | None = None
    """Its key."""
    approve_kubelet_serving: bool = False
    """Approve a node's serving certificate for its own name and addresses that no other Node has; upstream leaves that
    to a person, and so does off."""
    cluster_signing_duration: float = 31536000.0
    """How long such a certificate lives at most."""
    local_path_directory: str = ""
    """Where volumes of the local-path provisioner lie on a node, `{node}` standing for its name; empty: none are
    made."""
    local_path_image: str = "busybox"
    """The image of the pods that make and remove such a directory: it needs mkdir and rm."""
    force_detach_after: float = 360.0
    """How long an unhealthy node keeps a volume of a driver that it may have mounted and nobody there needs any more;
    0: for ever, unless the node is tainted as out of service."""
    node_monitor_period: float = 5.0
    """How often the nodes' leases are looked at."""
    node_monitor_grace: float = 50.0
    """A node silent for longer is Unknown."""
    lease_shortens_grace: bool = False
    """A node whose lease runs out sooner is Unknown when it has; upstream's controller does not look at that."""
    node_startup_grace: float = 60.0
    """The same, for a node that has not spoken yet."""
    eviction_rate: float = 0.1
    """Nodes per second and zone that may be tainted NoExecute."""
    unhealthy_zone_threshold: float = 0.55
    """Share of silent nodes from which a zone counts as disrupted and the secondary rate holds."""
    large_cluster_size: int = 50
    """A disrupted zone of at most so many nodes loses none at all."""
    secondary_eviction_rate: float = 0.01
    """Nodes per second that a larger disrupted zone may lose."""
    pod_gc_period: float = 20.0
    """How often pods are looked at that nobody else will remove."""
    orphan_quarantine: float = 40.0
    """How long a node must be gone before its pods are removed."""
    terminated_pod_threshold: int = 12500
    """Finished pods kept; the oldest beyond that are removed."""
    quota_sync_period: float = 300.0
    """How often quotas are counted anew, where the loop runs: beside an API server that does not count them itself."""
    discovery_period: float = 30.0
    """How often the server is asked which kinds there are."""
    workers: int = 5
    """Keys that one controller works on at the same time."""
    controllers: tuple[str, ...] = ("*",)
    """Names to run; `-name` leaves one out, `*` is for all but resourcequota-controller, which our own API server does
    not need where it keeps the statuses of quotas itself."""
