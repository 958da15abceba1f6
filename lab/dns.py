"""The Service `kube-dns`, by which tools and other proxies find the cluster's DNS; pods do not need it.

A node's own proxy answers at its address on the node itself. Its endpoint is the host's DNS, which knows the same
names: so it answers for a node with another proxy, too.
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE, Kind
from apimachinery.objects import name
from lab.spec import Spec

NAMESPACE, NAME = "kube-system", "kube-dns"
_LABELS = {"k8s-app": NAME, "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"}
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def service(spec: Spec) -> dict[str, Any]:
    """As kubeadm makes it, without a selector: its endpoints are no pods."""
    ports = [{"name": each, "port": 53, "targetPort": 53, "protocol": protocol} for each, protocol in _PORTS]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": _LABELS},
        "spec": {"type": "ClusterIP", "clusterIP": spec.dns_ip, "clusterIPs": [spec.dns_ip], "ports": ports},
    }


def endpoint_slice(spec: Spec) -> dict[str, Any]:
    """Where the host's DNS listens."""
    owner = {"kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "wherry-lab"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": NAMESPACE, "name": f"{NAME}-host", "labels": {**_LABELS, **owner}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [spec.gateway], "conditions": {"ready": True}}],
        "ports": [{"name": each, "port": 53, "protocol": protocol} for each, protocol in _PORTS],
    }


async def publish(spec: Spec, client: Client) -> None:
    """Make both, unless they are there already. Raises what the API server says against it."""
    for kind, obj in ((SERVICE, service(spec)), (ENDPOINT_SLICE, endpoint_slice(spec))):
        # Looked for first: of a Service whose address is its own already, a server tells that it is taken. And once
        # more where it is refused, since another `up` may have made it meanwhile.
        if not await _exists(client, kind, name(obj)):
            try:
                await client.create(kind, obj, namespace=NAMESPACE)
            except (errors.AlreadyExists, errors.Invalid):
                if not await _exists(client, kind, name(obj)):
                    raise


async def _exists(client: Client, kind: Kind, called: str) -> bool:
    try:
        await client.get(kind, called, NAMESPACE)
    except errors.NotFound:
        return False
    return True
