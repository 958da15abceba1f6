"""A lab as a file: what `up --config FILE` reads. Keys are written as kind writes them, and unknown ones refused.

name: second               # else --name
nodes: 5
controlPlanes: 3
store: etcd
schedulerConfig: file.yaml # profiles of the scheduler; a relative name goes from where this file lies
networking:
  kubeProxyMode: iptables
  podSubnet: 10.50.0.0/16
  serviceSubnet: 10.51.0.0/16
  nodeSubnet: 10.52.0.0/24
  apiServerPort: 7443
  dns: external
  networkPolicy: false
  cloud: false             # no cloud controller manager: LoadBalancers are yours to serve
  podNetwork: vxlan
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit import settings
from lab.spec import SpecError


@dataclass(frozen=True)
class Networking:
    """The ranges and the way to Services; what is left out is chosen."""

    kubeProxyMode: str | None = None
    podSubnet: str | None = None
    serviceSubnet: str | None = None
    nodeSubnet: str | None = None
    apiServerPort: int | None = None
    dns: str | None = None
    networkPolicy: bool | None = None
    cloud: bool | None = None
    podNetwork: str | None = None


@dataclass(frozen=True)
class Config:
    """The whole file."""

    name: str | None = None
    nodes: int | None = None
    controlPlanes: int | None = None
    store: str | None = None
    schedulerConfig: str | None = None
    networking: Networking = field(default_factory=Networking)


# Which option of `up` says the same.
_OPTIONS = {
    "--name": "name",
    "--nodes": "nodes",
    "--control-planes": "controlPlanes",
    "--store": "store",
    "--scheduler-config": "schedulerConfig",
    "--proxy-mode": "networking.kubeProxyMode",
    "--pod-cidr": "networking.podSubnet",
    "--service-cidr": "networking.serviceSubnet",
    "--node-cidr": "networking.nodeSubnet",
    "--api-port": "networking.apiServerPort",
    "--dns": "networking.dns",
    "--network-policy": "networking.networkPolicy",
    "--cloud": "networking.cloud",
    "--pod-network": "networking.podNetwork",
}


def read(path: Path) -> dict[str, str | int | bool | None]:
    """The file's values by the options that they stand for. SpecError names the key that will not do."""
    try:
        config = settings.load(Config, path)
    except settings.SettingsError as error:
        raise SpecError(str(error)) from error
    port = config.networking.apiServerPort
    if port is not None and not 0 < port < 65536:
        raise SpecError(f"{path}: networking.apiServerPort is {port}; use 1 to 65535")
    plain = {**vars(config), **{f"networking.{key}": value for key, value in vars(config.networking).items()}}
    # A file that this one names lies beside it, wherever the person stands.
    beside = str(path.parent / config.schedulerConfig) if config.schedulerConfig else None
    return {**{option: plain[key] for option, key in _OPTIONS.items()}, "--scheduler-config": beside}


def explained(error: SpecError, path: Path, from_file: set[str]) -> SpecError:
    """The error in the file's words, where it names an option that the file stood for."""
    text = str(error)
    for option in from_file:
        text = text.replace(f"{option} ", f"{_OPTIONS[option]} ")
    return SpecError(f"{path}: {text}") if text != str(error) else error
