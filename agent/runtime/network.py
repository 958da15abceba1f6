"""What a pod is told about names and addresses: resolver, host name, /etc/hosts. The network itself is
CNI's."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from agent import podspec
from agent.dns import (
    MISSING_CLUSTER_DNS,
    HostnameError,
    Resolver,
    ResolverError,
    parse_resolv_conf,
    plan_dns,
    plan_hostname,
)
from agent.hosts import hosts_file
from agent.runtime import pod_paths
from agent.runtime.plan import PodActions
from agent.runtime.reporter import Reporter
from agent.runtime.sandbox_config import Dns, SandboxFacts
from agent.seams import Mount
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


class PodNetwork:
    """``node_ips`` is asked each time: the node's address may be learnt late."""

    def __init__(self, settings: AgentSettings, reporter: Reporter, node_ips: Callable[[], Sequence[str]]) -> None:
        self._settings = settings
        self._reporter = reporter
        self.node_ips = node_ips

    def facts(self, pod: Obj, cgroup: str, actions: PodActions) -> SandboxFacts:
        """Raises NamesError. The user is warned when the sandbox is made, not at every later start."""
        settings = self._settings
        try:
            host = read_resolv_conf(settings.resolv_conf)
            hostname = plan_hostname(pod, settings.cluster_domain).kernel
        except (HostnameError, ResolverError) as error:
            raise NamesError(str(error)) from error
        plan = plan_dns(pod, host, settings.cluster_dns, settings.cluster_domain)
        if actions.create_sandbox:
            if plan.missing:
                self._reporter.node("Warning", "MissingClusterDNS", MISSING_CLUSTER_DNS)
            for reason, message in plan.warnings:
                self._reporter.pod(pod, "Warning", reason, message)
        resolver = plan.resolver
        return SandboxFacts(
            dns=Dns(resolver.servers, resolver.searches, resolver.options),
            hostname=hostname,
            log_directory=str(pod_paths.log_directory(settings.pod_log_dir, pod)),
            cgroup_parent=cgroup,
            attempt=actions.attempt,
        )

    def own_mounts(self, pod: Obj, container: Obj, ips: tuple[str, ...]) -> list[Mount]:
        """/etc/hosts, unless the container mounts one of its own."""
        taken = any(m.get("mountPath", "").rstrip("/") == _HOSTS for m in container.get("volumeMounts") or ())
        if taken:
            return []
        file = pod_paths.hosts_file(self._settings.root_dir, podspec.uid(pod))
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
