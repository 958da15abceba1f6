"""Resolver configuration and host names of pods; pure.

Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/ .
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.seams import Obj

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
_CLUSTER_NDOTS = "ndots:5"
# Linux's limit for a host name.
_MAX_HOSTNAME = 63


@dataclass(frozen=True)
class Resolver:
    """The content of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class DnsPlan:
    """A pod's resolver and what the user must be told: (reason, message) warnings for the pod."""

    resolver: Resolver
    warnings: tuple[tuple[str, str], ...] = field(default=())


class HostnameError(Exception):
    """The pod's host name cannot be set; the text is the user's."""


def parse_resolv_conf(text: str) -> Resolver:
    """A resolv.conf as the resolver reads it: the last search line counts, options add up."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = tuple(w.rstrip(".") or "." for w in words[1:])
        elif words[0] == "options":
            options.extend(words[1:])
    return Resolver(tuple(servers), searches, tuple(options))


def plan_dns(pod: Obj, host: Resolver, cluster_dns: tuple[str, ...], cluster_domain: str) -> DnsPlan:
    """The resolver of `pod` by its dnsPolicy and dnsConfig."""
    spec, namespace = pod.get("spec", {}), pod["metadata"].get("namespace", "default")
    policy = spec.get("dnsPolicy", "ClusterFirst")
    warnings: list[tuple[str, str]] = []
    # A pod in the node's network takes the cluster's DNS only where it says so.
    clustered = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
    if policy == "None":
        resolver = Resolver()
    elif clustered and cluster_dns:
        searches = _cluster_searches(namespace, cluster_domain) + host.searches
        resolver = Resolver(cluster_dns, _unique(searches), (_CLUSTER_NDOTS,))
    else:
        resolver = host
        if clustered:
            warnings.append(("MissingClusterDNS", f'pod: "{pod_text(pod)}". {missing_cluster_dns()}'))
    if spec.get("dnsConfig"):
        resolver = _merge(resolver, spec["dnsConfig"])
    return _limit(resolver, warnings)


def missing_cluster_dns() -> str:
    """What the node's own event says when a pod falls back."""
    return (
        'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. '
        'Falling back to "Default" policy.'
    )


def pod_text(pod: Obj) -> str:
    """A pod in messages: name_namespace(uid)."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta.get('namespace', 'default')}({meta.get('uid', '')})"


def _cluster_searches(namespace: str, domain: str) -> tuple[str, ...]:
    return (f"{namespace}.svc.{domain}", f"svc.{domain}", domain) if domain else ()


def _unique(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _merge(resolver: Resolver, config: Obj) -> Resolver:
    options: dict[str, str] = {}
    for text in resolver.options:
        name, colon, value = text.partition(":")
        options[name] = colon + value
    for option in config.get("options") or []:
        value = option.get("value")
        options[option.get("name", "")] = f":{value}" if value else ""
    return Resolver(
        _unique(resolver.servers + tuple(config.get("nameservers") or ())),
        _unique(resolver.searches + tuple(config.get("searches") or ())),
        tuple(name + value for name, value in options.items()),
    )


def _limit(resolver: Resolver, warnings: list[tuple[str, str]]) -> DnsPlan:
    servers, searches = resolver.servers[:MAX_NAMESERVERS], resolver.searches[:MAX_SEARCHES]
    while searches and len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    if searches != resolver.searches:
        line = " ".join(searches)
        text = "Search Line limits were exceeded, some search paths have been omitted, "
        text += "the applied search line is: "
        warnings.append(("DNSConfigForming", text + line))
    if servers != resolver.servers:
        line = " ".join(servers)
        text = "Nameserver limits were exceeded, some nameservers have been omitted, "
        text += "the applied nameserver line is: "
        warnings.append(("DNSConfigForming", text + line))
    return DnsPlan(Resolver(servers, searches, resolver.options), tuple(warnings))


@dataclass(frozen=True)
class HostName:
    """A pod's host name: short, its domain ("" when it has none), and what the kernel is told."""

    short: str
    domain: str
    kernel: str


def plan_hostname(pod: Obj, cluster_domain: str) -> HostName:
    """Names by spec.hostname, subdomain and setHostnameAsFQDN.

    Raises HostnameError where the kernel would refuse.
    """
    meta, spec = pod["metadata"], pod.get("spec", {})
    if spec.get("hostnameOverride"):
        return HostName(spec["hostnameOverride"], "", spec["hostnameOverride"])
    short = spec.get("hostname") or truncate_hostname(meta["name"])
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{meta.get('namespace', 'default')}.svc.{cluster_domain}"
    if not spec.get("setHostnameAsFQDN") or not domain:
        return HostName(short, domain, short)
    full = f"{short}.{domain}"
    if len(full) > _MAX_HOSTNAME:
        raise HostnameError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({_MAX_HOSTNAME} characters is the max, {len(full)} characters requested)"
        )
    return HostName(short, domain, full)


def truncate_hostname(name: str) -> str:
    """A pod name as a host name: 63 characters, not ending in a dash or dot."""
    return name if len(name) <= _MAX_HOSTNAME else name[:_MAX_HOSTNAME].rstrip("-.")
