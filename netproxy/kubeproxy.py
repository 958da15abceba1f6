"""kube-proxy's own settings file (KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1) as ours. Pure.

What it asks for and cannot have here is refused; what changes nothing here is told at the start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from apimachinery.duration import seconds

Values = dict[str, Any]
KIND, VERSION = "KubeProxyConfiguration", "kubeproxy.config.k8s.io/v1alpha1"
_MASQUERADE_BIT = 14
_UNUSED = frozenset(
    {
        "configSyncPeriod",
        "enableProfiling",
        "featureGates",
        "portRange",
        "showHiddenMetricsForVersion",
        "windowsRunAsService",
        "winkernel",
    }
)
_ALWAYS = frozenset({"bindAddressHardFail"})
"""what is so here, whether the file asks for it or not: a port that is taken ends this process, and its supervisor
starts it again"""
_BY_INTERFACE = {"BridgeInterface": ("bridgeInterface", ""), "InterfaceNamePrefix": ("interfaceNamePrefix", "+")}
_DETECTION = {"clusterCIDR", "detectLocal", "detectLocalMode"}
_UNUSED_IN_LOGGING = frozenset({"flushFrequency", "options", "vmodule"})
_UNUSED_IN_CONNECTION = frozenset({"acceptContentTypes", "burst", "contentType", "qps"})


def translated(values: Values, modes: Sequence[str], hostname: str) -> Values:
    """Our settings' values. Anything but a KubeProxyConfiguration stays as it is; raises ValueError naming a field.

    `modes`: what can be had. `hostname`: this host's, which is its node's name where the file has none.
    """
    if values.get("kind") != KIND:
        return values
    if values.get("apiVersion") != VERSION:
        raise ValueError(f"apiVersion: {values.get('apiVersion')!r} is not known; use {VERSION}")
    given = {key: value for key, value in values.items() if key not in ("kind", "apiVersion")}
    sections = ("iptables", "ipvs", "nftables")
    if unknown := sorted(set(given) - _UNUSED - _ALWAYS - _FIELDS.keys() - {*sections} - _DETECTION):
        raise ValueError(f"{unknown[0]}: no field of {KIND}")
    result: Values = {"node_name": hostname.strip().lower()}
    for field, read in _FIELDS.items():
        result.update(read(given.get(field)))
    result.update(_detection(given))
    if result["mode"] not in modes:
        raise ValueError(f"mode: {result['mode']!r} is not there yet; use {' or '.join(modes)}")
    # What is common to iptables and ipvs has one place in the file.
    used = {result["mode"], "iptables" if result["mode"] == "ipvs" else result["mode"]}
    for section in sorted(used & {*sections}):
        result.update(_rules(given.get(section) or {}, section, result["mode"]))
    connection = _section(given, "clientConnection")
    unused = [field for field in sorted(_UNUSED & given.keys()) if _says_something(given[field])]
    unused += [f"logging.{f}" for f in sorted(_UNUSED_IN_LOGGING) if _says_something(_section(given, "logging").get(f))]
    unused += [f"clientConnection.{f}" for f in sorted(_UNUSED_IN_CONNECTION) if _says_something(connection.get(f))]
    unused += [s for s in sections if given.get(s) and s not in used]
    return {**result, "unused": unused}


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return values.get(name) or {}


def _says_something(value: Any) -> bool:
    return value not in (None, "", "0s", 0, False, {}, [])


def _mode(value: str | None) -> Values:
    # Upstream's default on Linux.
    return {"mode": value or "iptables"}


def _detection(given: Mapping[str, Any]) -> Values:
    """How pods' traffic is known: clusterCIDR counts in its own mode alone."""
    mode, where = given.get("detectLocalMode") or "ClusterCIDR", given.get("detectLocal") or {}
    if unknown := sorted(where.keys() - {"bridgeInterface", "interfaceNamePrefix"}):
        raise ValueError(f"detectLocal.{unknown[0]}: no field of it")
    if mode == "ClusterCIDR":
        return {"cluster_cidr": given["clusterCIDR"]} if given.get("clusterCIDR") else {}
    if mode == "NodeCIDR":
        return {"node_cidr": True}
    if mode in _BY_INTERFACE:
        field, tail = _BY_INTERFACE[mode]
        if not where.get(field):
            raise ValueError(f"detectLocal.{field}: detectLocalMode {mode} needs it")
        return {"pod_interface": where[field] + tail}
    modes = "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix"
    raise ValueError(f"detectLocalMode: {mode!r} is not known; use {modes}")


def _node_ips(value: str | None) -> Values:
    return {} if value in (None, "", "0.0.0.0", "::") else {"node_ips": [value]}


def has_no_port(address: str) -> bool:
    """Whether it is a bare address, to which kube-proxy adds the usual port."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _server(address: str, port: str, usual: str) -> Callable[[str | None], Values]:
    def read(value: str | None) -> Values:
        if value and has_no_port(value):
            return {address: value, port: int(usual.rpartition(":")[2])}
        host, colon, number = (value or usual).rpartition(":")
        if not colon or not number.isdigit() or not 0 < int(number) < 65536:
            raise ValueError(f"{value!r} is no address with a port: write {usual}")
        return {address: host.strip("[]") or "0.0.0.0", port: int(number)}

    return read


def _same(setting: str) -> Callable[[Any], Values]:
    return lambda value: {setting: value} if value else {}


def _connection(value: Mapping[str, Any] | None) -> Values:
    given = value or {}
    if unknown := sorted(given.keys() - _UNUSED_IN_CONNECTION - {"kubeconfig"}):
        raise ValueError(f"clientConnection.{unknown[0]}: no field of it")
    return _same("kubeconfig")(given.get("kubeconfig"))


def _conntrack(value: Mapping[str, Any] | None) -> Values:
    given = value or {}
    if unknown := sorted(given.keys() - _CONNTRACK.keys()):
        raise ValueError(f"conntrack.{unknown[0]}: no field of it")
    found: Values = {}
    for field, (setting, usual) in _CONNTRACK.items():
        chosen = usual if given.get(field) is None else given[field]
        found[setting] = round(seconds(chosen)) if isinstance(chosen, str) else chosen
    return {"conntrack": found}


def _logging(value: Mapping[str, Any] | None) -> Values:
    given = value or {}
    if unknown := sorted(given.keys() - _UNUSED_IN_LOGGING - {"format", "verbosity"}):
        raise ValueError(f"logging.{unknown[0]}: no field of it")
    if given.get("format") not in (None, "", "text"):
        raise ValueError(f"logging.format: {given['format']!r} cannot be had; use text")
    return {"log_level": "debug"} if (given.get("verbosity") or 0) >= _DEBUG else {}


def _oom_score(value: int | None) -> Values:
    return {"oom_score_adj": _OOM_SCORE if value is None else value}


# Upstream's own where a file says nothing.
_OOM_SCORE, _DEBUG = -999, 4
_CONNTRACK: dict[str, tuple[str, int | str | bool]] = {
    "maxPerCore": ("max_per_core", 32 * 1024),
    "min": ("min", 128 * 1024),
    "tcpBeLiberal": ("tcp_be_liberal", False),
    "tcpCloseWaitTimeout": ("tcp_close_wait_timeout", "1h"),
    "tcpEstablishedTimeout": ("tcp_established_timeout", "24h"),
    "udpStreamTimeout": ("udp_stream_timeout", "0s"),
    "udpTimeout": ("udp_timeout", "0s"),
}
_FIELDS: dict[str, Callable[[Any], Values]] = {
    "bindAddress": _node_ips,
    "clientConnection": _connection,
    "conntrack": _conntrack,
    "healthzBindAddress": _server("bind_address", "health_port", "0.0.0.0:10256"),
    "hostnameOverride": _same("node_name"),
    "metricsBindAddress": _server("metrics_bind_address", "metrics_port", "127.0.0.1:10249"),
    "logging": _logging,
    "mode": _mode,
    "nodePortAddresses": _same("node_port_addresses"),
    "oomScoreAdj": _oom_score,
}


_PACE = {"syncPeriod": "sync_period", "minSyncPeriod": "min_sync_period"}
_MASQUERADE = {"masqueradeAll", "masqueradeBit"}
_TIMEOUTS = {"tcpTimeout": "tcp_timeout", "tcpFinTimeout": "tcp_fin_timeout", "udpTimeout": "udp_timeout"}
_KNOWN = {
    "iptables": {*_PACE, *_MASQUERADE, "localhostNodePorts"},
    "ipvs": {*_PACE, *_TIMEOUTS, "scheduler", "excludeCIDRs", "strictARP"},
    "nftables": {*_PACE, *_MASQUERADE},
}


def _rules(section: Mapping[str, Any], name: str, mode: str) -> Iterator[tuple[str, Any]]:
    """The settings of the section `name` for a proxy in mode `mode`."""
    if unknown := sorted(section.keys() - _KNOWN[name]):
        raise ValueError(f"{name}.{unknown[0]}: no field of it")
    if section.get("masqueradeBit") not in (None, _MASQUERADE_BIT):
        raise ValueError(f"{name}.masqueradeBit: {section['masqueradeBit']} cannot be had; it is {_MASQUERADE_BIT}")
    if section.get("masqueradeAll"):
        yield "masquerade_all", True
    if section.get("localhostNodePorts") is not None:
        yield "localhost_node_ports", section["localhostNodePorts"]
    for field, setting in _PACE.items():
        if name == mode and (period := seconds(section.get(field) or "0")):
            yield setting, period
    if name == "ipvs":
        yield "ipvs", dict(_virtual_servers(section))


def _virtual_servers(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if section.get("scheduler"):
        yield "scheduler", section["scheduler"]
    if section.get("strictARP"):
        yield "strict_arp", True
    if section.get("excludeCIDRs"):
        yield "exclude_cidrs", section["excludeCIDRs"]
    yield from ((setting, round(seconds(section.get(field) or "0"))) for field, setting in _TIMEOUTS.items())
