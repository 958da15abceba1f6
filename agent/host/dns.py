"""Resolver configuration and host names of pods; pure.

Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/ .
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apimachinery.objects import Obj

MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
# Resolvers are known that abort on longer ones (glibc 2.28).
MAX_SEARCH_LENGTH = 253
MISSING_CLUSTER_DNS = (
    'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. '
    'Falling back to "Default" policy.'
)
_CLUSTER_NDOTS = "ndots:5"
# A label of a name, and what Linux takes for a host name.
_MAX_LABEL = 63
_MAX_HOSTNAME = 64


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
    missing: bool = False
    """The cluster's DNS was asked for and is not known: MISSING_CLUSTER_DNS is told of the node, too."""


class ResolverError(Exception):
    """The node's resolv.conf cannot be handed on; the text is the user's."""


class HostnameError(Exception):
    """The pod's host name cannot be set; the text is the user's."""


def parse_resolv_conf(text: str) -> Resolver:
    """A resolv.conf: the last search line counts, of an option the last value. Raises ResolverError.

    Unlike the resolver itself, upstream's kubelet does not read `domain` lines and passes over the root (`.`) in
    search lines.
    """
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            if len(words) < 2:
                raise ResolverError("Encountered error while parsing resolv conf file. Error: nameserver list is empty")
            servers.append(words[1])
        elif words[0] == "search":
            searches = tuple(word.removesuffix(".") for word in words[1:] if word != ".")
        elif words[0] == "options":
            options |= {word.partition(":")[0]: word for word in words[1:]}
    return Resolver(tuple(servers), searches, tuple(options.values()))


def plan_dns(pod: Obj, host: Resolver | None, cluster_dns: tuple[str, ...], cluster_domain: str) -> DnsPlan:
    """The resolver of `pod` by its dnsPolicy and dnsConfig; `host` None: the node's is not to be handed on."""
    spec, namespace = pod.get("spec", {}), pod["metadata"].get("namespace", "default")
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    warnings: list[tuple[str, str]] = []
    # A pod in the node's network takes the cluster's DNS only where it says so.
    clustered = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
    missing = clustered and not cluster_dns
    if policy == "None":
        resolver = Resolver()
    elif clustered and cluster_dns:
        below = host.searches if host is not None else ()
        searches = _unique(_cluster_searches(namespace, cluster_domain) + below) if cluster_domain else below
        resolver = Resolver(cluster_dns, searches, (_CLUSTER_NDOTS,))
    else:
        # A name server on the pod's own loopback is what a resolver takes where none is named: nobody answers there.
        resolver = host if host is not None else Resolver(("127.0.0.1",), (".",))
        if missing:
            warnings.append(("MissingClusterDNS", f'pod: "{pod_text(pod)}". {MISSING_CLUSTER_DNS}'))
    if spec.get("dnsConfig"):
        resolver = _merge(resolver, spec["dnsConfig"])
    return _limit(resolver, warnings, missing)


def resolv_conf_complaint(path: str, host: Resolver, cluster_domain: str) -> str:
    """What of the node's resolver pods cannot be given, for a warning at start; empty where all fits."""
    most = MAX_SEARCHES - len(_cluster_searches("", cluster_domain))
    if len(host.searches) > most:
        return f"Resolv.conf file '{path}' contains search line consisting of more than {most} domains!"
    if any(len(search) > MAX_SEARCH_LENGTH for search in host.searches):
        text = f"contains a search path which length is more than allowed {MAX_SEARCH_LENGTH} chars!"
        return f'Resolv.conf file "{path}" {text}'
    if len(" ".join(host.searches)) > MAX_SEARCH_CHARACTERS:
        text = f"contains search line which length is more than allowed {MAX_SEARCH_CHARACTERS} chars!"
        return f"Resolv.conf file '{path}' {text}"
    return ""


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


def _limit(resolver: Resolver, warnings: list[tuple[str, str]], missing: bool) -> DnsPlan:
    servers = resolver.servers[:MAX_NAMESERVERS]
    searches = tuple(s for s in resolver.searches[:MAX_SEARCHES] if len(s) <= MAX_SEARCH_LENGTH)
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    if servers != resolver.servers:
        text = "Nameserver limits were exceeded, some nameservers have been omitted, "
        text += f"the applied nameserver line is: {' '.join(servers)}"
        warnings.append(("DNSConfigForming", text))
    if searches != resolver.searches:
        text = "Search Line limits were exceeded, some search paths have been omitted, "
        text += f"the applied search line is: {' '.join(searches)}"
        warnings.append(("DNSConfigForming", text))
    return DnsPlan(Resolver(servers, searches, resolver.options), tuple(warnings), missing)


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
    return name if len(name) <= _MAX_LABEL else name[:_MAX_LABEL].rstrip("-.")
