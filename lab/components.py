"""Which processes make a lab, and their settings. Pure: a spec and paths in, values out.

host       etcd-1 (where it is the store)   apiserver   scheduler   controllers   cloud
           hostnet (netproxy + routes of cni, for the host itself)
           of several control planes the others: etcd-2   apiserver-2   scheduler-2   controllers-2 …
each node  containerd  agent (kubelet, and the CNI daemon beside it)   proxy (netproxy)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controlplane.cloud.nodes.plan import UNINITIALIZED
from lab import containerd, names, privileges
from lab.certificates import CLOUD, CONTROLLERS, POLICY, PROXY, SCHEDULER, node_identity
from lab.images.catalog import BUSYBOX
from lab.paths import Paths
from lab.process import Place, Process, on_node
from lab.spec import Node, Spec

SCHEDULER_PORT, CONTROLLERS_PORT, CLOUD_PORT = 10259, 10257, 10258
PROXY_HEALTH_PORT, PROXY_METRICS_PORT, AGENT_PORT = 10256, 10249, 10250
# Upstream's: its kubelets, which may join, renew their leases every 10 s.
NODE_GRACE_SECONDS = 50.0
# Ours renew more often, and say so in their leases, which run out after four times as long: a lab is watched by a
# person, who need not wait for 50 s to see that a node fell silent.
LEASE_SECONDS = 3.0
BACKUP_SECONDS = 3600
ETCD_PORT, ETCD_PEER_PORT = 2379, 2380
LEAVE_SECONDS = 1.0
# Who has nobody to take its place is not ended for being slow: to begin again costs a starved machine more than a
# lease that comes late, and may be what made it come late. How soon it asks again after a refusal is upstream's: a
# server that is only starting refuses, and the lab waits for who waits then.
_ALONE: Mapping[str, Any] = MappingProxyType({"identity": "lab", "lease_duration": 90.0, "renew_deadline": 60.0})
# kube-proxy's; the table's size is the machine's to say.
CONNTRACK = MappingProxyType({"tcp_established_timeout": 86400, "tcp_close_wait_timeout": 3600})
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Component:
    """A process and the settings file it is given (None: it takes none)."""

    process: Process
    settings_file: Path | None = None
    settings: dict[str, Any] | None = None


def control_plane(spec: Spec, paths: Paths, scheduling: Mapping[str, Any] = NOTHING) -> list[Component]:
    """The host's processes, in the order in which they are wanted.

    scheduling: what `scheduling.scheduler_settings` makes of the file that the lab names.
    """
    numbers = range(1, spec.control_planes + 1)
    cloud = [_cloud(spec, paths)] if spec.cloud else []
    return [
        *etcd(spec, paths),
        *(_apiserver(spec, paths, number) for number in numbers),
        *(_scheduler(spec, paths, number, scheduling) for number in numbers),
        *(_controllers(spec, paths, number) for number in numbers),
        *cloud,
        hostnet(spec, paths),
    ]


def etcd(spec: Spec, paths: Paths) -> list[Component]:
    """The members of etcd, where that is the store."""
    if spec.store != "etcd":
        return []
    addresses = spec.control_plane_addresses
    return [_etcd(spec, paths, number) for number in range(1, len(addresses) + 1)]


def _etcd(spec: Spec, paths: Paths, number: int) -> Component:
    pki, name, address = paths.pki, f"etcd-{number}", spec.control_plane(number)
    client, peer = f"https://{address}:{ETCD_PORT}", f"https://{address}:{ETCD_PEER_PORT}"
    members = enumerate(spec.control_plane_addresses, 1)
    options = {
        "name": name,
        "data-dir": paths.etcd(number),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": ",".join(f"etcd-{n}=https://{other}:{ETCD_PEER_PORT}" for n, other in members),
        "initial-cluster-token": f"wherry-{spec.name}",
        **{f"{side}cert-file": pki / f"{name}.crt" for side in ("", "peer-")},
        **{f"{side}key-file": pki / f"{name}.key" for side in ("", "peer-")},
        **{f"{side}trusted-ca-file": pki / "etcd-ca.crt" for side in ("", "peer-")},
        **{f"{side}client-cert-auth": "true" for side in ("", "peer-")},
    }
    process = Process(
        name=name,
        argv=("etcd", *(f"--{option}={value}" for option, value in options.items())),
        log=str(paths.logs / f"{name}.log"),
        capabilities=privileges.of("etcd"),
        oom_score_adj=privileges.oom_score("etcd"),
        # Of members that all stop the last would wait for somebody to lead. What it acknowledged is on the disk.
        grace=1.0,
    )
    return Component(process)


def store_settings(spec: Spec, paths: Paths) -> dict[str, Any]:
    """What an API server of the lab is told of its store."""
    if spec.store != "etcd":
        return {"store": spec.store}
    return {
        "store": spec.store,
        "etcd_servers": [f"https://{address}:{ETCD_PORT}" for address in spec.control_plane_addresses],
        "etcd_ca_file": paths.pki / "etcd-ca.crt",
        "etcd_cert_file": paths.pki / "apiserver-etcd-client.crt",
        "etcd_key_file": paths.pki / "apiserver-etcd-client.key",
    }


def _numbered(name: str, number: int) -> str:
    """The first of several is called as one alone."""
    return name if number == 1 else f"{name}-{number}"


def _election(spec: Spec, number: int) -> dict[str, Any]:
    """A fixed name each, so that one that was restarted may take its own lease over at once."""
    return dict(_ALONE) if spec.control_planes == 1 else {"identity": f"lab-{number}"}


def node_components(spec: Spec, paths: Paths, node: Node) -> list[Component]:
    """A node's processes, containerd first."""
    return [_containerd(spec, paths, node), agent(spec, paths, node), proxy(spec, paths, node)]


def _apiserver(spec: Spec, paths: Paths, number: int) -> Component:
    pki, own = paths.pki, spec.control_plane(number)
    settings = {
        **store_settings(spec, paths),
        "data_dir": paths.apiserver_of(number),
        "bind_host": own,
        "shared_host": spec.gateway if own != spec.gateway else "",
        "port": spec.api_port,
        "advertise_address": own,
        "service_cidr": spec.service_cidr,
        "tls_cert_file": pki / "apiserver.crt",
        "tls_key_file": pki / "apiserver.key",
        "client_ca_file": pki / "ca.crt",
        "service_account_key_file": pki / "service-account.key",
        "bootstrap_token_auth": True,
        "serve_metrics": True,
        "kubelet_client_cert_file": pki / "apiserver-kubelet-client.crt",
        "kubelet_client_key_file": pki / "apiserver-kubelet-client.key",
        "kubelet_ca_file": pki / "ca.crt",
        "proxy_client_cert_file": pki / "front-proxy-client.crt",
        "proxy_client_key_file": pki / "front-proxy-client.key",
        "requestheader_client_ca_file": pki / "front-proxy-ca.crt",
        "policy_file": POLICY,
        "constrained_impersonation": True,
        "warn_of_gaps": True,
        "keep_quota_statuses": True,
        "backup_seconds": BACKUP_SECONDS if number == 1 else 0,
        # The nodes' proxies need a moment to hear that it goes, where there is another to go to.
        "shutdown_delay_seconds": LEAVE_SECONDS if spec.control_planes > 1 else 0.0,
    }
    return _python(paths, "apiserver", "controlplane.apiserver", settings, port=spec.api_port, number=number)


def _scheduler(spec: Spec, paths: Paths, number: int, scheduling: Mapping[str, Any]) -> Component:
    settings = {
        "kubeconfig": paths.settings / SCHEDULER.file,
        "health_host": spec.control_plane(number),
        "health_port": SCHEDULER_PORT,
        **_door(paths, "scheduler"),
        **scheduling,
        "election": _election(spec, number),
    }
    return _python(paths, "scheduler", "controlplane.scheduler", settings, number=number)


def _controllers(spec: Spec, paths: Paths, number: int) -> Component:
    settings = {
        "kubeconfig": paths.settings / CONTROLLERS.file,
        "cluster_cidr": spec.pod_cidr,
        "node_cidr_mask": 24,
        "root_ca_file": paths.pki / "ca.crt",
        "service_account_key_file": paths.pki / "service-account.key",
        "cluster_signing_cert_file": paths.pki / "ca.crt",
        "cluster_signing_key_file": paths.pki / "ca.key",
        "local_path_directory": paths.node_state("{node}") / "local-path",
        "local_path_image": BUSYBOX,
        "health_host": spec.control_plane(number),
        "health_port": CONTROLLERS_PORT,
        **_door(paths, "controllers"),
        "election": _election(spec, number),
        "node_monitor_grace": NODE_GRACE_SECONDS,
        "lease_shortens_grace": True,
        "node_monitor_period": 1.0,
    }
    return _python(paths, "controllers", "controlplane.controllers", settings, number=number)


def _cloud(spec: Spec, paths: Paths) -> Component:
    cloud = {
        "kubeconfig": paths.settings / CLOUD.file,
        "health_host": spec.gateway,
        "health_port": CLOUD_PORT,
        **_door(paths, "cloud"),
        "cluster_cidr": spec.pod_cidr.split(","),
        "election": dict(_ALONE),
    }
    return _python(paths, "cloud", "lab.cloud", {"lab": spec.name, "cloud": cloud})


def _door(paths: Paths, name: str) -> dict[str, Path]:
    """How a daemon proves itself to whoever asks for its metrics, and whom it believes."""
    return {
        "tls_cert_file": paths.pki / f"{name}-serving.crt",
        "tls_key_file": paths.pki / f"{name}-serving.key",
        "client_ca_file": paths.pki / "ca.crt",
    }


def hostnet(spec: Spec, paths: Paths) -> Component:
    """Services and pod routes for the host itself, so that VIPs and pods answer there too.

    Always nftables, and in a table of the lab's own: iptables chains have fixed names, and two labs share a host.
    """
    shared = proxy_settings(spec, paths, "", "nftables", spec.gateways, {"listen": [spec.gateway]})
    settings = {
        # Two labs share the host's localhost, too: its proxy shows no metrics.
        "proxy": {
            **shared,
            "nft_table": names.proxy_table(spec.name),
            "metrics_port": 0,
        },
        "network": _network_settings(spec, paths, ""),
    }
    return _python(paths, "hostnet", "lab.hostnet", settings)


def _containerd(spec: Spec, paths: Paths, node: Node) -> Component:
    config = paths.node_state(node.name) / "containerd.toml"
    process = Process(
        name=f"{node.name}/containerd",
        argv=("containerd", "--config", str(config)),
        log=str(paths.logs / f"{node.name}-containerd.log"),
        node=node.name,
        **on_node(paths, node.name)._asdict(),
        capabilities=privileges.of("containerd"),
        oom_score_adj=privileges.oom_score("containerd"),
    )
    return Component(process)


def agent(spec: Spec, paths: Paths, node: Node) -> Component:
    """The node's agent and, in the same process, its CNI daemon."""
    state = paths.node_state(node.name)
    settings = {
        "agent": {
            "node_name": node.name,
            "node_ip": ",".join(spec.addresses_of(node)),
            "kubeconfig": paths.settings / node_identity(node).file,
            "root_dir": state / "agent",
            "pod_log_dir": state / "pod-logs",
            "system_log_dir": paths.node_logs(node.name),
            "cdi_spec_dirs": [containerd.cdi_specs(paths, node.name)],
            "cri_socket": paths.containerd_socket(node.name),
            "cgroup_root": "/" + names.cgroup(spec.name, node.name),
            "cluster_dns": [spec.dns_ip],
            "bind_address": spec.address(node),
            "port": AGENT_PORT,
            "tls_cert_file": paths.pki / f"{node.name}-serving.crt",
            "tls_key_file": paths.pki / f"{node.name}-serving.key",
            "client_ca_file": paths.pki / "ca.crt",
            "lease_seconds": LEASE_SECONDS,
            "seccomp_default": True,
            # As with upstream's --cloud-provider=external: no pod is placed before the cloud has told its part.
            "register_taints": [f"{UNINITIALIZED}=true:NoSchedule"] if spec.cloud else [],
        },
        "network": _network_settings(spec, paths, node.name),
        "network_kubeconfig": paths.settings / PROXY.file,
    }
    return _python(paths, "agent", "lab.nodeagent", settings, node)


def proxy(spec: Spec, paths: Paths, node: Node) -> Component:
    """The node's netproxy."""
    # What a node does not know it asks the host, which may ask the machine's own servers; they lie in ranges that the
    # lab's nodes are kept out of.
    dns = {"addresses": [spec.dns_ip], "upstreams": [spec.gateway]}
    settings = proxy_settings(spec, paths, node.name, spec.mode_of(node), spec.addresses_of(node), dns)
    return _python(paths, "proxy", "netproxy", settings, node)


def proxy_settings(
    spec: Spec, paths: Paths, node: str, mode: str, addresses: Sequence[str], dns: dict[str, Any]
) -> dict[str, Any]:
    """netproxy's settings for a node, or for a host that is none (""), which has these addresses."""
    return {
        **({"dns": dns} if spec.dns == "builtin" else {}),
        "kubeconfig": paths.settings / PROXY.file,
        "node_name": node,
        "node_ips": [*addresses],
        "mode": mode,
        "cluster_cidr": spec.pod_cidr,
        "service_cidr": spec.service_cidr,
        "ipv6": "," in spec.service_cidr,
        "network_policy": spec.network_policy,
        # At every address of a node, as kube-proxy; the host's are every lab's.
        "bind_address": "0.0.0.0" if node else addresses[0],
        "health_port": PROXY_HEALTH_PORT,
        **({"conntrack": dict(CONNTRACK)} if node else {}),
        # Plain HTTP, for whoever is on the node itself.
        "metrics_bind_address": "127.0.0.1",
        "metrics_port": PROXY_METRICS_PORT,
    }


def _network_settings(spec: Spec, paths: Paths, node: str) -> dict[str, Any]:
    run = paths.node_run(node or "host")
    return {
        "node_name": node,
        "run_dir": run,
        "conf_dir": containerd.cni_conf(paths, node or "host"),
        "bin_dir": containerd.cni_bin(paths, node or "host"),
        # Who has which address goes with the pods' network namespaces, which a node that is switched off loses.
        "data_dir": run / "cni" / "networks",
        "cluster_cidr": spec.pod_cidr.split(","),
        "mode": spec.pod_network,
    }


def _python(
    paths: Paths,
    name: str,
    module: str,
    settings: dict[str, Any],
    node: Node | None = None,
    port: int = privileges.PRIVILEGED_PORTS,
    number: int = 1,
) -> Component:
    """A daemon of ours: `python -m module --config settings/name.yaml`."""
    own = _numbered(name, number)
    place = f"{node.name}-{own}" if node else own
    file = paths.settings_of(place)
    process = Process(
        name=f"{node.name}/{own}" if node else own,
        argv=(sys.executable, "-m", module, "--config", str(file)),
        log=str(paths.logs / f"{place}.log"),
        node=node.name if node else "",
        **(on_node(paths, node.name) if node else Place())._asdict(),
        capabilities=privileges.of(name, port),
        oom_score_adj=privileges.oom_score(name),
    )
    return Component(process, file, plain(settings))


def plain(value: Any) -> Any:
    """Paths as text, for YAML."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
