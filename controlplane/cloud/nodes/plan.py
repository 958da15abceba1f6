"""How a node should read by what its cloud knows of the machine. Pure.

Source: the node controllers of upstream's cloud-provider (labels and taints: kubernetes.io "Well-Known Labels,
Annotations and Taints").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from apimachinery import objects
from apimachinery.objects import Obj, copy, labels, name
from controlplane.cloud.interface import CloudError, Instance

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
SHUTDOWN = "node.cloudprovider.kubernetes.io/shutdown"
PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
# Old key, new key: both are written, and the old one's value is the one that counts.
TWINS = (
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
)
_KUBERNETES = re.compile(r"(^|\.)(kubernetes|k8s)\.io/")


def is_initialized(node: Obj) -> bool:
    """Whether the cloud has been asked about the node: until then it carries a taint."""
    return not any(taint.get("key") == UNINITIALIZED for taint in _taints(node))


def initialized(node: Obj, instance: Instance) -> Obj:
    """The node with its providerID and labels, and without the taint. CloudError: it asks for an address that its
    machine has not.
    """
    addresses(node, instance)
    result = copy(node)
    spec = result.setdefault("spec", {})
    if instance.provider_id:
        spec.setdefault("providerID", instance.provider_id)
    if not spec.get("providerID"):
        raise CloudError(f"cloud provider does not set node provider ID for node {name(node)}")
    spec["taints"] = [taint for taint in _taints(node) if taint.get("key") != UNINITIALIZED]
    result["metadata"]["labels"] = {**labels(node), **_labels(node, instance)}
    return result


def _labels(node: Obj, instance: Instance) -> dict[str, str]:
    values = (instance.zone, instance.region, instance.instance_type)
    found = {key: value for pair, value in zip(TWINS, values, strict=True) if value for key in pair}
    # Keys of Kubernetes' own are not a cloud's to give, and what somebody set stays.
    more = {key: value for key, value in instance.labels.items() if not _KUBERNETES.search(key)}
    return {**{key: value for key, value in more.items() if key not in labels(node)}, **found}


def missing_labels(node: Obj) -> dict[str, str]:
    """The new twins of labels that only the old key says, or says otherwise."""
    held = labels(node)
    return {new: held[old] for old, new in TWINS if old in held and held.get(new) != held[old]}


def addresses(node: Obj, instance: Instance) -> list[Mapping[str, str]]:
    """The node's status.addresses; the kubelet's choice among them comes first of its type, or is the only one.

    CloudError: the kubelet's choice is none of them.
    """
    told = list(instance.addresses)
    if told and not any(each.get("type") == "Hostname" for each in told):
        told += [each for each in _addresses(node) if each.get("type") == "Hostname"]
    chosen = objects.annotations(node).get(PROVIDED_IP)
    return told if not chosen or not told else _preferring(name(node), chosen, told)


def _preferring(node: str, chosen: str, told: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    result: list[Mapping[str, str]] = []
    for text in chosen.split(","):
        wanted = ipaddress.ip_address(text.strip())
        found = [each for each in told if _is(each, wanted)]
        if not found:
            raise CloudError(f"provided node ip for node {node!r} is not valid: {text} is no address of its machine")
        types = {each["type"] for each in found}
        same = [e for e in told if e["type"] not in types and e["type"] != "Hostname" and _family(e) == wanted.version]
        result += [each for each in (*found, *same) if each not in result]
    return [*result, *(each for each in told if each["type"] == "Hostname")]


def _is(address: Mapping[str, str], wanted: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return _family(address) != 0 and ipaddress.ip_address(address["address"]) == wanted


def _family(address: Mapping[str, str]) -> int:
    """4 or 6; 0 for a name."""
    try:
        return ipaddress.ip_address(address["address"]).version
    except ValueError:
        return 0


def address_change(node: Obj, instance: Instance) -> list[Mapping[str, str]] | None:
    """status.addresses as they should be; None where they are, or where the cloud tells none."""
    wanted = addresses(node, instance)
    return wanted if wanted and wanted != _addresses(node) else None


def with_shutdown(node: Obj, is_off: bool) -> list[Obj] | None:
    """The taints of a node whose machine is off, or is not; None where they are so."""
    taints = _taints(node)
    kept = [taint for taint in taints if taint.get("key") != SHUTDOWN]
    if is_off == (len(kept) < len(taints)):
        return None
    return [*kept, {"key": SHUTDOWN, "effect": "NoSchedule"}] if is_off else kept


def _taints(node: Obj) -> list[Obj]:
    return list((node.get("spec") or {}).get("taints") or ())


def _addresses(node: Obj) -> list[Mapping[str, str]]:
    return list((node.get("status") or {}).get("addresses") or ())
