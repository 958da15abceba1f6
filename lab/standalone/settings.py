"""What a person says of a machine: `/etc/wherry/server.yaml`, `/etc/wherry/node.yaml`. Unknown keys are refused.

A daemon's own settings stand under its name (`agent: {max_pods: 50}`) and win over what follows from the rest.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

from apimachinery.kit.files import write_atomic
from apimachinery.kit.settings import SettingsError, of, read_mapping
from lab import names, spec
from lab.standalone import tokens

T = TypeVar("T")

ETC = Path("/etc/wherry")
SERVER_FILE = ETC / "server.yaml"
NODE_FILE = ETC / "node.yaml"


@dataclass(frozen=True)
class Networking:
    """What every machine of a cluster is told alike."""

    pod_cidr: str = "10.244.0.0/16"
    """All pods."""
    service_cidr: str = "10.96.0.0/16"
    """All cluster IPs; the tenth is the DNS address."""
    proxy_mode: str = spec.PROXY_MODES[0]
    """How Services get into the kernel."""
    dns: str = spec.DNS[0]
    """Who answers at the DNS address: builtin (each node itself), or external (what you deploy)."""
    pod_network: str = spec.POD_NETWORKS[0]
    """How pods of different machines reach each other; none: by what you deploy."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        try:
            spec.parse_range("pod_cidr", self.pod_cidr, 20)
            spec.parse_range("service_cidr", self.service_cidr, 24)
        except spec.SpecError as error:
            raise ValueError(str(error)) from error
        if ipaddress.ip_network(self.pod_cidr).overlaps(ipaddress.ip_network(self.service_cidr)):
            raise ValueError(f"service_cidr {self.service_cidr} overlaps pod_cidr {self.pod_cidr}: choose another")
        _one_of("proxy_mode", self.proxy_mode, spec.PROXY_MODES)
        _one_of("dns", self.dns, spec.DNS)
        _one_of("pod_network", self.pod_network, spec.POD_NETWORKS)


@dataclass(frozen=True)
class Server(Networking):
    """A machine that is a control plane."""

    address: str = ""
    """Where nodes and people reach the API server; empty: this machine's address towards its default route."""
    name: str = "cluster"
    """The cluster's, in kubeconfig contexts (`wherry-NAME`) and the authority's certificate."""
    api_port: int = 6443
    """The API server's port."""
    token: str = ""
    """A bootstrap token, ID.SECRET, by which machines join for as long as it stands here."""
    apiserver: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    controllers: Mapping[str, Any] = field(default_factory=dict)
    hostnet: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        super().__post_init__()
        if self.address:
            _ip("address", self.address)
        if self.token:
            tokens.parse(self.token)
        if problem := names.problem(self.name):
            raise ValueError(f"name {self.name!r} will not do: {problem}")
        # The API server keeps none of root's powers, nor that to listen below.
        if not 1024 <= self.api_port < 65536:
            raise ValueError(f"api_port is {self.api_port}; use 1024 to 65535")


@dataclass(frozen=True)
class Node(Networking):
    """A machine that runs pods, or has the Services of a cluster, or both."""

    server: str = ""
    """The API server's URL, to join with a token."""
    token: str = ""
    """A bootstrap token, ID.SECRET; used until the node has a certificate of its own."""
    ca_hash: str = ""
    """sha256:HEX of the cluster authority's public key, as kubeadm prints it; empty: the token's signature on
    kube-public/cluster-info has to do."""
    kubeconfig: Path | None = None
    """Credentials made elsewhere, instead of joining with a token."""
    node_name: str = ""
    """Empty: the host's name."""
    node_ip: str = ""
    """Empty: the address of the route to the API server, whatever interface comes first."""
    cluster_dns: str = ""
    """The DNS address that pods get; empty: the tenth of the service range."""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    """KEY=VALUE:EFFECT, at registration."""
    agent: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    proxy: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        super().__post_init__()
        for name in ("node_ip", "cluster_dns"):
            if text := getattr(self, name):
                _ip(name, text)
        if not self.server and self.kubeconfig is None:
            raise ValueError("server (with token) or kubeconfig is required: how is the API server reached?")
        if self.server and (urlsplit(self.server).scheme != "https" or not urlsplit(self.server).hostname):
            raise ValueError(f"server {self.server!r} is no https:// address; write https://192.0.2.10:6443")


def configure(kind: type[T], file: Path, pairs: Sequence[str]) -> T:
    """Set keys of the file (KEY=VALUE; an empty value takes the key out), once the whole has been found good.

    What it says otherwise stays. SettingsError names the key that will not do.
    """
    values = read_mapping(file) if file.exists() else {}
    textual = {each.name for each in dataclasses.fields(kind) if each.type in ("str", "Path | None")}  # type: ignore[arg-type]
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"{pair!r} says nothing of a key: write KEY=VALUE")
        try:
            values[key] = value if key in textual else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingsError(f"{key}: {value!r} is not valid YAML: {error}") from error
        if not value:
            del values[key]
    chosen = of(kind, values, str(file))
    text = yaml.safe_dump(values, sort_keys=False).encode()
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not file.exists() or file.read_bytes() != text:
        # It may hold a token.
        write_atomic(file, text, 0o600)
    return chosen


def merged(settings: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with `own` over them, mapping by mapping."""
    result = dict(settings)
    for key, value in own.items():
        inner = result.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[key] = merged(inner, value) if both else value  # type: ignore[arg-type]
    return result


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; use {' or '.join(allowed)}")


def _ip(name: str, text: str) -> None:
    try:
        ipaddress.IPv4Address(text)
    except ValueError as error:
        raise ValueError(f"{name} {text!r} is no IPv4 address: {error}") from error
