"""What a pod is told about names and addresses: resolver, host name, /etc/hosts. The network itself is
CNI's."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import podspec
from agent.cri.model import Mount
from agent.host import paths
from agent.host.dns import (
    MISSING_CLUSTER_DNS,
    HostnameError,
    Resolver,
    ResolverError,
    parse_resolv_conf,
    plan_dns,
    plan_hostname,
)
from agent.host.hosts import hosts_file
from agent.reporter import Reporter
from agent.settings import AgentSettings
from apimachinery.objects import Obj

_HOSTS = "/etc/hosts"
_RESOLV_CONF_BYTES = 10 << 20


class NamesError(Exception):
    """The pod cannot get the names it asks for."""


def read_resolv_conf(path: Path | None) -> Resolver | None:
    """The node's resolver; None where pods are to have none. Raises ResolverError."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return parse_resolv_conf(file.read(_RESOLV_CONF_BYTES).decode("utf-8", "replace"))
    except OSError as error:
        raise ResolverError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


@dataclass(frozen=True)
class Names:
    """`hostname`: what the kernel is told."""

    resolver: Resolver
    hostname: str


class PodNames:
    """`node_ips` is asked each time: the node's address may be learnt late."""

    def __init__(self, settings: AgentSettings, reporter: Reporter, node_ips: Callable[[], Sequence[str]]) -> None:
        self._settings = settings
        self._reporter = reporter
        self.node_ips = node_ips

    def of(self, pod: Obj, *, warn: bool) -> Names:
        """Raises NamesError. `warn`: tell the user what the pod cannot be given, which is wanted once a sandbox."""
        settings = self._settings
        try:
            host = read_resolv_conf(settings.resolv_conf)
            hostname = plan_hostname(pod, settings.cluster_domain).kernel
        except (HostnameError, ResolverError) as error:
            raise NamesError(str(error)) from error
        plan = plan_dns(pod, host, settings.cluster_dns, settings.cluster_domain)
        if warn:
            if plan.missing:
                self._reporter.node("Warning", "MissingClusterDNS", MISSING_CLUSTER_DNS)
            for reason, message in plan.warnings:
                self._reporter.pod(pod, "Warning", reason, message)
        return Names(plan.resolver, hostname)

    def own_mounts(self, pod: Obj, container: Obj, ips: tuple[str, ...]) -> list[Mount]:
        """/etc/hosts, unless the container mounts one of its own."""
        taken = any(m.get("mountPath", "").rstrip("/") == _HOSTS for m in container.get("volumeMounts") or ())
        if taken:
            return []
        file = paths.hosts_file(self._settings.root_dir, podspec.uid(pod))
        names = plan_hostname(pod, self._settings.cluster_domain)
        node_hosts = ""
        if podspec.host_network(pod):
            node_hosts = Path(_HOSTS).read_text()
        text = hosts_file(pod, ips, names.short, names.domain, node_hosts)
        # Written in place: containers already hold this inode by bind mount.
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            os.chmod(file, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)  # noqa: PTH101
        security = container.get("securityContext") or {}
        return [Mount(_HOSTS, str(file), read_only=bool(security.get("readOnlyRootFilesystem")))]

    def with_addresses(self, pod: Obj, ips: tuple[str, ...]) -> Obj:
        """The pod with the addresses its containers may ask for by the downward API."""
        status = dict(pod.get("status") or {})
        node = tuple(self.node_ips())
        if podspec.host_network(pod) and not ips:
            ips = node
        if node:
            status["hostIP"], status["hostIPs"] = node[0], [{"ip": ip} for ip in node]
        if ips:
            status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
        return {**pod, "status": status}
