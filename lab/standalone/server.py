"""A control plane on a machine of its own: certificates first, then the settings of each daemon."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery import kubeconfig, pki
from apimachinery.kit.files import write_atomic
from lab import components
from lab.certificates import IDENTITIES, POLICY, Authority
from lab.components import Component
from lab.paths import Paths
from lab.spec import SpecError
from lab.standalone.machine import HOME, Machine, own_address
from lab.standalone.settings import Server, merged

DAEMONS = ("apiserver", "scheduler", "controllers", "hostnet")
# What joins with a token and what nodes may do besides, on top of what a lab allows.
MACHINE_POLICY = Path(__file__).with_name("policy.txt")
AUTHORITIES = ("ca", "front-proxy-ca", "kubelet-ca")
RENEW_BEFORE = datetime.timedelta(days=60)


def machine(settings: Server) -> Machine:
    """The cluster as its control plane sees it. SpecError when the machine's address cannot be told."""
    return Machine(
        name=settings.name,
        nodes=(),
        proxy_mode=settings.proxy_mode,
        pod_cidr=settings.pod_cidr,
        service_cidr=settings.service_cidr,
        node_cidr="",
        api_port=settings.api_port,
        dns=settings.dns,
        cloud=False,
        pod_network=settings.pod_network,
        own_address=own_address(settings.address),
    )


def certify(settings: Server, home: Paths = HOME) -> Authority:
    """Every certificate and kubeconfig of the control plane; those there are stay, but for what ends soon."""
    for directory, mode in (
        (home.state, 0o755),
        (home.run, 0o711),
        (home.pki, 0o700),
        (home.settings, 0o700),
        (home.apiserver, 0o700),
    ):
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    for path in due(datetime.datetime.now(datetime.timezone.utc), home):
        path.unlink()
    authority = Authority(home, machine(settings))
    authority.server()
    authority.kubelet_client()
    authority.front_proxy()
    authority.kubelet_authority()
    for daemon in ("scheduler", "controllers"):
        authority.daemon(daemon)
    authority.service_account_key()
    for identity in IDENTITIES:
        authority.kubeconfig(identity)
    authority.admin()
    write_atomic(home.settings / "policy.txt", POLICY.read_bytes() + b"\n" + MACHINE_POLICY.read_bytes(), 0o600)
    return authority


def due(now: datetime.datetime, home: Paths = HOME) -> list[Path]:
    """Certificates and kubeconfigs that end within `RENEW_BEFORE`; the authorities' own are not renewed."""
    found = [path for path in sorted(home.pki.glob("*.crt")) if path.stem not in AUTHORITIES]
    late = [path for path in found if pki.expires(path.read_bytes()) < now + RENEW_BEFORE]
    files = [home.settings / identity.file for identity in IDENTITIES] + [home.kubeconfig]
    for path in files:
        with contextlib.suppress(kubeconfig.KubeconfigError):
            cert = kubeconfig.load(path).cert
            if cert is not None and pki.expires(cert) < now + RENEW_BEFORE:
                late.append(path)
    return late


def component(settings: Server, name: str, home: Paths = HOME) -> Component:
    """The daemon of that name (`DAEMONS`) and its settings. SpecError for another."""
    kubelet_ca = home.pki / "kubelet-ca.crt", home.pki / "kubelet-ca.key"
    own: Mapping[str, Mapping[str, Any]] = {
        "apiserver": {
            "policy_file": str(home.settings / "policy.txt"),
            "bootstrap_token_auth": True,
            "kubelet_ca_file": str(kubelet_ca[0]),
            **settings.apiserver,
        },
        "scheduler": settings.scheduler,
        "controllers": {
            "kubelet_serving_cert_file": str(kubelet_ca[0]),
            "kubelet_serving_key_file": str(kubelet_ca[1]),
            "approve_kubelet_serving": True,
            **settings.controllers,
        },
        # No other lab shares this machine's rules.
        "hostnet": merged({"proxy": {"mode": settings.proxy_mode}}, settings.hostnet),
    }
    for found in components.control_plane(machine(settings), home):
        if found.process.name == name:
            return dataclasses.replace(found, settings=merged(found.settings or {}, own[name]))
    raise SpecError(f"a control plane has no {name!r}; its daemons: {', '.join(DAEMONS)}")


def ca_hash(home: Paths = HOME) -> str:
    """By which those who join know the authority."""
    return pki.public_key_hash((home.pki / "ca.crt").read_bytes())
