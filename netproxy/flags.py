"""kube-proxy's own flags, as people write them in manifests and units: each is a field of its settings file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from netproxy import kubeproxy

_SECTION = "MODE"
"""in a path: the section of the mode that is chosen; what ipvs shares with iptables lies in that one's"""

_FIELDS: dict[str, tuple[str, Any]] = {
    "bind-address-hard-fail": ("bindAddressHardFail", bool),
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
    "logging-format": ("logging.format", str),
    "masquerade-all": ("MODE.masqueradeAll", bool),
    "metrics-bind-address": ("metricsBindAddress", str),
    "nodeport-addresses": ("nodePortAddresses", list),
    "oom-score-adj": ("oomScoreAdj", int),
    "pod-bridge-interface": ("detectLocal.bridgeInterface", str),
    "pod-interface-name-prefix": ("detectLocal.interfaceNamePrefix", str),
    "profiling": ("enableProfiling", bool),
}
_REFUSED = {
    "init-only": "nothing here needs more rights at the start than later",
    "log-flush-frequency": "every line of the log is written at once",
    "log-json-info-buffer-size": "the log is text",
    "log-json-split-stream": "the log is text",
    "log-text-info-buffer-size": "every line of the log is written at once",
    "log-text-split-stream": "the log goes to stderr",
    "master": "say in the kubeconfig which API server it is",
    "show-hidden-metrics-for-version": "no metric is hidden",
    "vmodule": "use --v=4 for everything",
    "write-config-to": "netproxy/settings.py has every field with its default",
}
"""kube-proxy's flags that cannot be had, and why"""
_SERVERS = {"healthz": "health_port", "metrics": "metrics_port"}
"""each has a flag for its address, and one for its port that kube-proxy keeps for old manifests"""
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
    for server in _SERVERS:
        command = click.option(f"--{server}-port", type=click.IntRange(0, 65535), hidden=True)(command)
    for flag, why in _REFUSED.items():
        command = click.option(f"--{flag}", is_flag=False, flag_value="", hidden=True, callback=_refuse(why))(command)
    return command


def _refuse(why: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def refuse(_: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.UsageError(f"{parameter.opts[0]} is a flag of kube-proxy's that cannot be had here: {why}")

    return refuse


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
    ports = dict(_ports(given))
    if not values and not ports:
        return {}
    head = {"kind": kubeproxy.KIND, "apiVersion": kubeproxy.VERSION, "mode": mode}
    return {**kubeproxy.translated({**head, **values}, modes, hostname), **ports}


def _ports(given: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What flags say of a server's port where its address does not: an empty address, unlike in a file, and port 0 mean
    no server."""
    for server, setting in _SERVERS.items():
        address, port = given.get(f"{server}_bind_address"), given.get(f"{server}_port")
        if address == "" or port == 0:
            yield setting, 0
        elif port is not None and (not address or kubeproxy.has_no_port(address)):
            yield setting, port
