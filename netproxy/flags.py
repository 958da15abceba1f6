"""kube-proxy's own flags, as people write them in manifests and units: each is a field of its settings file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from netproxy import kubeproxy

_SECTION = "MODE"
"""in a path: the section of the mode that is chosen; what ipvs shares with iptables lies in that one's"""

_FIELDS: dict[str, tuple[str, Any]] = {
    "bind-address": ("bindAddress", str),
    "cluster-cidr": ("clusterCIDR", str),
    "config-sync-period": ("configSyncPeriod", str),
    "conntrack-max-per-core": ("conntrack.maxPerCore", int),
    "conntrack-min": ("conntrack.min", int),
    "conntrack-tcp-be-liberal": ("conntrack.tcpBeLiberal", bool),
    "conntrack-tcp-timeout-close-wait": ("conntrack.tcpCloseWaitTimeout", str),
    "conntrack-tcp-timeout-established": ("conntrack.tcpEstablishedTimeout", str),
    "conntrack-udp-timeout": ("conntrack.udpTimeout", str),
    "conntrack-udp-timeout-stream": ("conntrack.udpStreamTimeout", str),
    "detect-local-mode": ("detectLocalMode", str),
    "feature-gates": ("featureGates", str),
    "healthz-bind-address": ("healthzBindAddress", str),
    "iptables-localhost-nodeports": ("iptables.localhostNodePorts", bool),
    "iptables-masquerade-bit": ("MODE.masqueradeBit", int),
    "iptables-min-sync-period": ("iptables.minSyncPeriod", str),
    "iptables-sync-period": ("iptables.syncPeriod", str),
    "ipvs-exclude-cidrs": ("ipvs.excludeCIDRs", list),
    "ipvs-min-sync-period": ("ipvs.minSyncPeriod", str),
    "ipvs-scheduler": ("ipvs.scheduler", str),
    "ipvs-strict-arp": ("ipvs.strictARP", bool),
    "ipvs-sync-period": ("ipvs.syncPeriod", str),
    "ipvs-tcp-timeout": ("ipvs.tcpTimeout", str),
    "ipvs-tcpfin-timeout": ("ipvs.tcpFinTimeout", str),
    "ipvs-udp-timeout": ("ipvs.udpTimeout", str),
    "kube-api-burst": ("clientConnection.burst", int),
    "kube-api-content-type": ("clientConnection.contentType", str),
    "kube-api-qps": ("clientConnection.qps", float),
    "masquerade-all": ("MODE.masqueradeAll", bool),
    "metrics-bind-address": ("metricsBindAddress", str),
    "nodeport-addresses": ("nodePortAddresses", list),
    "oom-score-adj": ("oomScoreAdj", int),
    "pod-bridge-interface": ("detectLocal.bridgeInterface", str),
    "pod-interface-name-prefix": ("detectLocal.interfaceNamePrefix", str),
    "profiling": ("enableProfiling", bool),
}
_SHOWN = frozenset({"cluster-cidr", "detect-local-mode", "ipvs-scheduler", "ipvs-strict-arp", "masquerade-all"})
_SHOWN |= {"nodeport-addresses", "metrics-bind-address", "healthz-bind-address"}


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with every flag of kube-proxy's: keyword arguments, None for one that is not given."""
    for flag, (path, kind) in reversed(_FIELDS.items()):
        hidden, said = flag not in _SHOWN, f"As kube-proxy's flag and its field {path.replace('MODE.', '')}."
        if kind is bool:
            option = click.option(f"--{flag}", type=bool, is_flag=False, flag_value=True, hidden=hidden, help=said)
        else:
            option = click.option(f"--{flag}", type=str if kind is list else kind, hidden=hidden, help=said)
        command = option(command)
    return command


def settings(given: Mapping[str, Any], mode: str, modes: Sequence[str], hostname: str) -> dict[str, Any]:
    """Our settings from flags that were given (names with underscores, as click has them); raises ValueError naming
    the field. Without any there is nothing to say."""
    values: dict[str, Any] = {}
    for flag, (path, kind) in _FIELDS.items():
        value = given.get(flag.replace("-", "_"))
        if value is not None:
            whole = path.replace(_SECTION, "nftables" if mode == "nftables" else "iptables")
            section, _, field = whole.rpartition(".")
            found = values.setdefault(section, {}) if section else values
            found[field] = [word for word in value.split(",") if word] if kind is list else value
    if not values:
        return {}
    head = {"kind": kubeproxy.KIND, "apiVersion": kubeproxy.VERSION, "mode": mode}
    return kubeproxy.translated({**head, **values}, modes, hostname)
