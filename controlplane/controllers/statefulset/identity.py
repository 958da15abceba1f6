"""What makes a pod of a StatefulSet the one it is: its name, its place, its claims. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from apimachinery.objects import Obj, copy, labels, name, namespace
from controlplane.controllers.pod_control import from_template

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
REVISION = "controller-revision-hash"
_NUMBERED = re.compile(r"(?P<parent>.*)-(?P<ordinal>[0-9]+)", re.ASCII | re.DOTALL)


def replicas(stateful_set: Obj) -> int:
    """spec.replicas with its default."""
    value = stateful_set["spec"].get("replicas")
    return 1 if value is None else int(value)


def start(stateful_set: Obj) -> int:
    """The first ordinal."""
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def ordinal(stateful_set: Obj, pod: Obj) -> int | None:
    """The ordinal that a pod's name gives it; None for a name that is not of the set."""
    match = _NUMBERED.fullmatch(name(pod))
    if match is None or match["parent"] != name(stateful_set):
        return None
    number = int(match["ordinal"])
    return number if number < 2**31 else None


def in_range(stateful_set: Obj, number: int) -> bool:
    first = start(stateful_set)
    return first <= number < first + replicas(stateful_set)


def claim_name(stateful_set: Obj, template: Obj, number: int) -> str:
    return f"{name(template)}-{name(stateful_set)}-{number}"


def claims(stateful_set: Obj, number: int) -> list[Obj]:
    """The claims that belong to an ordinal, as its templates say. Its selector's labels are theirs, too."""
    made = []
    selected = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        claim = copy(template)
        claim.pop("status", None)
        meta = claim["metadata"]
        meta["name"] = claim_name(stateful_set, template, number)
        meta["namespace"] = namespace(stateful_set)
        meta["labels"] = {**(meta.get("labels") or {}), **selected}
        made.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    return made


def pod(stateful_set: Obj, template: Obj, revision: str, number: int) -> Obj:
    """The pod of an ordinal. `template` is that of `revision`."""
    pod_name = f"{name(stateful_set)}-{number}"
    made = from_template(stateful_set, template, pod_name, f"{name(stateful_set)}-")
    del made["metadata"]["generateName"]
    made["metadata"]["labels"] = {**(made["metadata"].get("labels") or {}), REVISION: revision}
    made["spec"]["hostname"] = pod_name
    if stateful_set["spec"].get("serviceName"):
        made["spec"]["subdomain"] = stateful_set["spec"]["serviceName"]
    return identified(stateful_set, made, number)


def identified(stateful_set: Obj, given: Obj, number: int) -> Obj:
    """The pod with the labels and the claims of its ordinal."""
    own = {POD_NAME: name(given), POD_INDEX: str(number)}
    fixed = {**given, "metadata": {**given["metadata"], "labels": {**labels(given), **own}}}
    wanted = _volumes(stateful_set, number)
    others = [v for v in given["spec"].get("volumes") or () if v["name"] not in wanted]
    if wanted:
        fixed["spec"] = {**given["spec"], "volumes": [*wanted.values(), *others]}
    return fixed


def is_itself(stateful_set: Obj, given: Obj, number: int) -> bool:
    """Whether a pod has its own name as label and its own claims as volumes."""
    if labels(given).get(POD_NAME) != name(given):
        return False
    mounted = {v["name"]: v.get("persistentVolumeClaim") or {} for v in given["spec"].get("volumes") or ()}
    return all(
        mounted.get(volume, {}).get("claimName") == source["persistentVolumeClaim"]["claimName"]
        for volume, source in _volumes(stateful_set, number).items()
    )


def _volumes(stateful_set: Obj, number: int) -> Mapping[str, Obj]:
    return {
        name(t): {"name": name(t), "persistentVolumeClaim": {"claimName": claim_name(stateful_set, t, number)}}
        for t in stateful_set["spec"].get("volumeClaimTemplates") or ()
    }
