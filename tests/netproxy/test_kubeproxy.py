"""Files written for kube-proxy start this proxy, or say which field keeps them from it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.client import Client
from apimachinery.errors import NotFound
from apimachinery.kit.settings import SettingsError, load
from netproxy import app
from netproxy.ipvs.options import Options
from netproxy.limits import Conntrack
from netproxy.settings import Settings

# What kubeadm writes.
KUBEADM = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {contentType: "", burst: 0, kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack: {maxPerCore: 1000, min: null}
detectLocalMode: ""
featureGates: {}
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: true, masqueradeBit: 14, minSyncPeriod: 1s, syncPeriod: 1m0s}
ipvs: null
metricsBindAddress: "[::1]:10249"
mode: ""
nodePortAddresses: [primary]
oomScoreAdj: null
"""


def read(path: Path, text: str) -> Settings:
    file = path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return load(Settings, file)


def test_what_kubeadm_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Worker-1")
    found = read(tmp_path, KUBEADM)
    assert found.kubeconfig == Path("/var/lib/kube-proxy/kubeconfig.conf") and found.cluster_cidr == "10.244.0.0/16"
    assert found.mode == "iptables" and found.masquerade_all and found.localhost_node_ports
    assert (found.sync_period, found.min_sync_period) == (60.0, 1.0)
    assert (found.metrics_bind_address, found.metrics_port, found.health_port) == ("::1", 10249, 10256)
    assert found.conntrack == Conntrack(1000, 131072, 86400, 3600) and found.oom_score_adj == -999, (
        "upstream's defaults"
    )
    assert found.node_port_addresses == ("primary",)
    assert found.node_name == "worker-1", "the host's, as upstream has it"
    assert found.unused == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('mode: ""', "mode: kernelspace", "mode: 'kernelspace' is not there"),
        ('mode: ""\n', "mode: ipvs\nipvs: {schedule: rr}\n", "ipvs.schedule: no field"),
        ('mode: ""\n', "mode: ipvs\nipvs: {scheduler: best}\n", "ipvs.scheduler: 'best'"),
        ('mode: ""\n', "mode: ipvs\nipvs: {excludeCIDRs: [here]}\n", "ipvs.exclude_cidrs"),
        ('detectLocalMode: ""', "detectLocalMode: BridgeInterface", "detectLocal.bridgeInterface: .* needs it"),
        ('detectLocalMode: ""', "detectLocalMode: Magic", "detectLocalMode: 'Magic' is not known"),
        ('detectLocalMode: ""', "detectLocal: {bridge: x}", "detectLocal.bridge: no field"),
        ("masqueradeBit: 14", "masqueradeBit: 15", "iptables.masqueradeBit: 15"),
        ("oomScoreAdj", "oomScore", "oomScore: no field"),
        ("qps: 0", "rate: 0", "clientConnection.rate: no field"),
        ("v1alpha1", "v1", "apiVersion"),
        ("syncPeriod: 1m0s}", "syncPeriod: soon}", "soon"),
        ('healthzBindAddress: ""', "healthzBindAddress: here", "no address with a port"),
        ('healthzBindAddress: ""', "healthzBindAddress: 10.0.0.1:99999", "no address with a port"),
        ("maxPerCore: 1000", "most: 1000", "conntrack.most: no field"),
        ("maxPerCore: 1000", "maxPerCore: -1", "conntrack.max_per_core: -1 is below 0"),
        ("maxPerCore: 1000", "udpTimeout: soon", "soon"),
        ("oomScoreAdj: null", "oomScoreAdj: 1001", "oom_score_adj: 1001 is not between"),
        ("mode: ", "logging: {format: json}\nmode: ", "logging.format: 'json' cannot be had"),
        ("mode: ", "logging: {shape: json}\nmode: ", "logging.shape: no field"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in KUBEADM
    with pytest.raises((SettingsError, ValueError), match=message):
        read(tmp_path, KUBEADM.replace(old, new))


def test_upstreams_defaults_where_the_file_is_silent(tmp_path: Path) -> None:
    head = "\n".join(KUBEADM.splitlines()[:2])
    found = read(tmp_path, f"{head}\nclientConnection: {{kubeconfig: /k}}\nmode: nftables\n")
    assert found.mode == "nftables" and found.health_port == 10256 and found.metrics_port == 10249
    assert found.unused == ()


def test_a_name_and_a_pace_that_the_file_gives(tmp_path: Path) -> None:
    given = KUBEADM.replace('hostnameOverride: ""', "hostnameOverride: node7").replace("qps: 0", "qps: 50")
    found = read(tmp_path, given)
    assert found.node_name == "node7" and found.unused == ("clientConnection.qps",), "told, not passed over in silence"


def test_limits_and_logs_that_the_file_gives(tmp_path: Path) -> None:
    section = (
        "conntrack: {maxPerCore: 0, min: 5, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 1m30s, tcpBeLiberal: true,"
        " udpTimeout: 10s, udpStreamTimeout: 20s}\nlogging: {verbosity: 4, vmodule: [a]}"
    )
    given = KUBEADM.replace("conntrack: {maxPerCore: 1000, min: null}", section)
    found = read(tmp_path, given.replace("oomScoreAdj: null", "oomScoreAdj: 0"))
    assert found.conntrack == Conntrack(0, 5, 0, 90, True, 10, 20) and found.oom_score_adj == 0
    assert found.log_level == "debug" and found.unused == ("logging.vmodule",)


def test_the_section_of_ipvs_and_what_it_shares_with_iptables(tmp_path: Path) -> None:
    section = (
        "ipvs: {excludeCIDRs: [192.0.2.0/24], minSyncPeriod: 2s, scheduler: wlc, strictARP: true, syncPeriod: 40s,"
        " tcpFinTimeout: 0s, tcpTimeout: 15m, udpTimeout: 1m30s}"
    )
    given = KUBEADM.replace("ipvs: null", section).replace('mode: ""', "mode: ipvs")
    found = read(tmp_path, given)
    assert found.mode == "ipvs" and found.masquerade_all and (found.sync_period, found.min_sync_period) == (40, 2)
    assert found.ipvs == Options("wlc", True, ("192.0.2.0/24",), 900, 0, 90)
    assert found.unused == ()


@pytest.mark.parametrize(
    ("mode", "where", "known"),
    [
        ("ClusterCIDR", "{}", ("10.244.0.0/16", "", False)),
        ("NodeCIDR", "{}", ("", "", True)),
        ("BridgeInterface", "{bridgeInterface: cni0}", ("", "cni0", False)),
        ("InterfaceNamePrefix", "{interfaceNamePrefix: veth}", ("", "veth+", False)),
    ],
)
def test_how_pods_are_known(tmp_path: Path, mode: str, where: str, known: tuple[str, str, bool]) -> None:
    given = KUBEADM.replace('detectLocalMode: ""', f"detectLocalMode: {mode}\ndetectLocal: {where}")
    found = read(tmp_path, given)
    assert (found.cluster_cidr, found.pod_interface, found.node_cidr) == known


def test_a_nodes_own_range_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = [NotFound("gone"), {"spec": {}}, {"spec": {"podCIDRs": ["10.244.1.0/24", "fd00:244:1::/64"]}}]

    class Api:
        async def get(self, _kind: Any, name: str) -> Any:
            assert name == "node1"
            found = told.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

    monkeypatch.setattr(app, "_AGAIN_SECONDS", 0.0)
    found = asyncio.run(app._pod_ranges(cast(Client, Api()), "node1"))
    assert found == ("10.244.1.0/24", "fd00:244:1::/64") and not told


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pod_interface": "a b"}, "pod_interface: 'a b' is no interface"),
        ({"pod_interface": "cni0", "mode": "userspace"}, "userspace mode sees no interfaces"),
        ({"node_cidr": True}, "node_cidr: say which node this is"),
    ],
)
def test_ways_to_know_pods_that_cannot_work_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(Path("/k"), **asked)
