"""What is odd about objects, kind by kind."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence

from apimachinery import errors, quantity
from apimachinery.objects import Obj
from apimachinery.volumes.claims import BETA_CLASS
from controlplane.apiserver.advice import addresses, nodelabels, pods

_ANNOTATIONS = {
    BETA_CLASS: 'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
# Sources of persistent volumes on their way out, in upstream's order.
_OLD_VOLUMES = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_OUR_LOOPS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_HINTS, _TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_STATIC = ".static.k8s.io"
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def service(obj: Obj, old: Obj | None) -> Sequence[str]:
    spec, annotations = obj["spec"], obj["metadata"].get("annotations") or {}
    kind, outside = spec.get("type"), spec.get("externalIPs") or ()
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    found = []
    if _HINTS in annotations:
        found.append(f"annotation {_HINTS} is deprecated, please use {_TOPOLOGY} instead")
    if spec.get("clusterIP") not in (None, "", "None"):
        found += _addresses("spec.clusterIPs", spec.get("clusterIPs") or ())
    if headless:
        if spec.get("loadBalancerIP"):
            found.append("spec.loadBalancerIP is ignored for headless services")
        if outside:
            found.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") != "None":
            found.append("spec.SessionAffinity is ignored for headless services")
    found += _addresses("spec.externalIPs", outside)
    if outside and not headless and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        found += addresses.address("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, allowed in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += addresses.network(f"spec.loadBalancerSourceRanges[{index}]", allowed)
    if outside and kind == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("externalName") and kind != "ExternalName":
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _addresses(path: str, listed: Iterable[str]) -> Iterator[str]:
    for index, text in enumerate(listed):
        yield from addresses.address(f"{path}[{index}]", text)


def balanced(obj: Obj, old: Obj) -> Iterator[str]:
    """Of the addresses that a load balancer gave a Service or an Ingress."""
    given = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return _addresses("status.loadBalancer.ingress", (entry.get("ip") or "" for entry in given))


def service_account(obj: Obj, old: Obj | None) -> Sequence[str]:
    known = old is not None and _MOUNTABLE in (old["metadata"].get("annotations") or {})
    if known or _MOUNTABLE not in (obj["metadata"].get("annotations") or {}):
        return ()
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return (f"metadata.annotations[{_MOUNTABLE}]: {text}",)


def secret(obj: Obj, old: Obj | None) -> Sequence[str]:
    """A pair of certificate and key that TLS could not use."""
    if obj.get("type") != "kubernetes.io/tls":
        return ()
    data = obj.get("data") or {}
    for key, what in (("tls.crt", "certificate"), ("tls.key", "key")):
        if not _PEM.search(base64.b64decode(data.get(key) or "")):
            return (f"tls: failed to find any PEM data in {what} input",)
    return ()


def claim(obj: Obj, old: Obj | None) -> Sequence[str]:
    return [*_annotations(obj, (BETA_CLASS,)), *pods.claim("spec", obj["spec"])]


def _annotations(obj: Obj, keys: Iterable[str]) -> Iterator[str]:
    listed = obj["metadata"].get("annotations") or {}
    return (f"metadata.annotations[{key}]: {_ANNOTATIONS[key]}" for key in keys if key in listed)


def volume(obj: Obj, old: Obj | None) -> Sequence[str]:
    spec, found = obj["spec"], list(_annotations(obj, _ANNOTATIONS))
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
            "recommended approach is to use dynamic provisioning."
        )
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        found += nodelabels.term(f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]", term)
    gone = (kind for kind in _OLD_VOLUMES if spec.get(kind) is not None)
    return [*found, *(f"spec.{pods.SHOWN.get(kind, kind)}: {pods.VOLUMES[kind]}" for kind in gone)]


def driver(obj: Obj, old: Obj | None) -> Sequence[str]:
    """Tokens are handed over where they may be logged, unless a driver says that it reads them elsewhere."""
    spec = obj["spec"]
    if not spec.get("tokenRequests") or spec.get("serviceAccountTokenInSecrets") is not None:
        return ()
    if old is not None and old["spec"].get("tokenRequests") == spec["tokenRequests"]:
        return ()
    text = (
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
        "possible logging of tokens in volume attributes"
    )
    return (text,)


def endpoint_slice(obj: Obj, old: Obj | None) -> Sequence[str]:
    found = []
    if old is None and obj.get("addressType") == "FQDN":
        found.append("spec.addressType: FQDN endpoints are deprecated")
    # Our own loops write addresses as they should be.
    if (obj["metadata"].get("labels") or {}).get(_MANAGED_BY) in _OUR_LOOPS:
        return found
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        found += _addresses(f"endpoints[{index}].addresses", endpoint.get("addresses") or ())
    return found


def endpoints(obj: Obj, old: Obj | None) -> Iterator[str]:
    if (obj["metadata"].get("labels") or {}).get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
        return
    for number, subset in enumerate(obj.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for index, entry in enumerate(subset.get(field) or ()):
                yield from addresses.address(f"subsets[{number}].{field}[{index}].ip", entry.get("ip") or "")


def node(obj: Obj, old: Obj | None) -> Sequence[str]:
    spec, found = obj["spec"], []
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for index, allowed in enumerate(spec.get("podCIDRs") or ()):
        found += addresses.network(f"spec.podCIDRs[{index}]", allowed)
    return found


def quota(obj: Obj, old: Obj | None) -> Iterator[str]:
    """Of a new quota that allows larger requests than limits."""
    hard = (obj["spec"].get("hard") or {}) if old is None else {}
    for name in ("cpu", "memory", "storage", "ephemeral-storage"):
        request, limit = f"requests.{name}", f"limits.{name}"
        if request not in hard and name in ("cpu", "memory"):
            request = name
        if request in hard and limit in hard and quantity.parse(hard[request]) > quantity.parse(hard[limit]):
            shown = [f"{each} ({quantity.canonical(hard[each])})" for each in (request, limit)]
            yield f"ResourceQuota {shown[0]} should be less than {shown[1]}"


def ingress(obj: Obj, old: Obj | None) -> Sequence[str]:
    annotated = _INGRESS_CLASS in (obj["metadata"].get("annotations") or {})
    if old is not None or not annotated or obj["spec"].get("ingressClassName") is not None:
        return ()
    return (f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead",)


def network_policy(obj: Obj, old: Obj | None) -> Iterator[str]:
    for way, side in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(obj["spec"].get(way) or ()):
            for index, peer in enumerate(rule.get(side) or ()):
                block, path = peer.get("ipBlock") or {}, f"spec.{way}[{number}].{side}[{index}].ipBlock"
                yield from addresses.network(f"{path}.cidr", block.get("cidr") or "")
                for place, text in enumerate(block.get("except") or ()):
                    yield from addresses.network(f"{path}.except[{place}]", text)


def runtime_class(obj: Obj, old: Obj | None) -> Sequence[str]:
    wanted = sorted((obj.get("scheduling") or {}).get("nodeSelector") or ())
    return [f"scheduling.nodeSelector: {nodelabels.OLD[key]}" for key in wanted if key in nodelabels.OLD]


def storage_class(obj: Obj, old: Obj | None) -> Iterator[str]:
    for number, term in enumerate(obj.get("allowedTopologies") or ()):
        for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
            if (key := expression.get("key")) in nodelabels.OLD:
                path = f"allowedTopologies[{number}].matchLabelExpressions[{index}].key"
                yield f"{path}: {nodelabels.OLD[key]}"


def storage_capacity(obj: Obj, old: Obj | None) -> Iterator[str]:
    return nodelabels.selector("nodeTopology", obj.get("nodeTopology") or {})


def reserved_name(obj: Obj, old: Obj | None) -> Sequence[str]:
    """Names that configurations of admission on disk will have."""
    if not (obj["metadata"].get("name") or "").endswith(_STATIC):
        return ()
    text = "are reserved for static manifest-based configurations and cannot be managed via the API"
    return (f'metadata.name: names ending with "{_STATIC}" {text}',)


def resource_slice(obj: Obj, old: Obj | None) -> Sequence[str]:
    driver = obj["spec"].get("driver") or ""
    if driver == driver.lower():
        return ()
    text = f"driver names should be lowercase; {errors.quoted(driver)} contains uppercase characters"
    return (f"spec.driver: {text}",)
