"""The numbers this daemon shows, under kube-proxy's names."""

from __future__ import annotations

from apimachinery.kit.metrics import counter, gauge, histogram

_PROGRAMMING = (
    0.25,
    0.5,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    15,
    20,
    25,
    30,
    35,
    40,
    45,
    50,
    55,
    60,
    120,
    180,
    240,
    300,
)

SYNC = histogram("kubeproxy_sync_proxy_rules_duration_seconds", "One sync of the rules", ("ip_family",))
FULL_SYNC = histogram("kubeproxy_sync_full_proxy_rules_duration_seconds", "One full sync", ("ip_family",))
PARTIAL_SYNC = histogram("kubeproxy_sync_partial_proxy_rules_duration_seconds", "One sync of changes", ("ip_family",))
PROGRAMMING = histogram(
    "kubeproxy_network_programming_duration_seconds",
    "From a pod's change, as its EndpointSlice tells it, to the rules",
    ("ip_family",),
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, *_PROGRAMMING),
)
LAST_SYNC = gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When a sync last succeeded", ("ip_family",))
LAST_QUEUED = gauge(
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
    "When a sync was last asked for",
    ("ip_family",),
)
SERVICE_CHANGES = counter("kubeproxy_sync_proxy_rules_service_changes", "Service changes seen")
ENDPOINT_CHANGES = counter("kubeproxy_sync_proxy_rules_endpoint_changes", "Endpoint changes seen")
SERVICES_PENDING = gauge("kubeproxy_sync_proxy_rules_service_changes_pending", "Service changes not yet written")
ENDPOINTS_PENDING = gauge("kubeproxy_sync_proxy_rules_endpoint_changes_pending", "Endpoint changes not yet written")
NO_LOCAL_ENDPOINTS = gauge(
    "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
    "Services of traffic policy Local that have endpoints, but none on this node",
    ("traffic_policy", "ip_family"),
)
NFTABLES_FAILURES = counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures", "Failed nftables syncs", ("ip_family",)
)
IPTABLES_FAILURES = counter(
    "kubeproxy_sync_proxy_rules_iptables_restore_failures", "Failed iptables-restore runs", ("ip_family",)
)
IPTABLES_PARTIAL_FAILURES = counter(
    "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures",
    "Failed iptables-restore runs that wrote changes alone",
    ("ip_family",),
)
IPTABLES_RULES = gauge("kubeproxy_sync_proxy_rules_iptables_total", "iptables rules of ours", ("table", "ip_family"))
IPTABLES_LAST = gauge(
    "kubeproxy_sync_proxy_rules_iptables_last", "iptables rules written by the last sync", ("table", "ip_family")
)
STALE_FLOWS = counter(
    "kubeproxy_conntrack_reconciler_deleted_entries",
    "UDP flows removed after an endpoint change",
    ("ip_family",),
)
STALE_FLOWS_SWEEP = histogram(
    "kubeproxy_conntrack_reconciler_sync_duration_seconds", "One look for stale UDP flows", ("ip_family",)
)
POLICY_SYNC = histogram("wherry_network_policy_sync_duration_seconds", "One sync of the rules of NetworkPolicies")
POLICY_FAILURES = counter("wherry_network_policy_sync_failures", "Failed syncs of the rules of NetworkPolicies")
POLICIES = gauge("wherry_network_policies", "NetworkPolicies in force")
_DNS_ASKED = counter("coredns_dns_requests", "Queries, by protocol", ("proto",))
_DNS_ANSWERED = counter("coredns_dns_responses", "Answers that had to be worked out, by their code", ("rcode",))
DNS_CACHE = counter("coredns_cache_requests", "Questions for others, by whether the answer was known", ("result",))
DNS_FORWARDED = counter("coredns_forward_requests", "Questions sent to others, by whether they answered", ("result",))
DNS_FORWARD_SECONDS = histogram("coredns_forward_request_duration_seconds", "From a query to somebody else's answer")
_ASKED = {protocol: _DNS_ASKED.labels(protocol) for protocol in ("udp", "tcp")}
_ANSWERED = {
    rcode: _DNS_ANSWERED.labels(rcode)
    for rcode in ("noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "other")
}


def dns_asked(protocol: str, count: int = 1) -> None:
    """So many queries came over udp or tcp."""
    _ASKED[protocol].inc(count)


def dns_answered(rcode: str) -> None:
    """An answer was worked out, or somebody else's was handed on."""
    _ANSWERED[rcode].inc()


HEALTHZ = counter("kubeproxy_proxy_healthz", "Answers of /healthz", ("code",))
LIVEZ = counter("kubeproxy_proxy_livez", "Answers of /livez", ("code",))
