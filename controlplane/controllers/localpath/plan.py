"""Which volume a claim gets, on which node, and the pods that make and remove its directory. Pure.

What is told follows the library that external provisioners are written with (sig-storage-lib-external-provisioner).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apimachinery import objects
from apimachinery.objects import Obj, condition_holds, is_deleting, labels, name, reference, uid
from apimachinery.pods import placement
from apimachinery.volumes import claims, matching
from apimachinery.volumes.matching import Place

PROVISIONER = "wherry.local/local-path"
NODE = "local-path.wherry.local/node"
VOLUME = "local-path.wherry.local/volume"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
NAMESPACE = "kube-system"
HOSTNAME = "kubernetes.io/hostname"
_MODES = {"ReadWriteOnce", "ReadWriteOncePod"}
_SECONDS = 120


@dataclass(frozen=True)
class Home:
    """Where volumes lie on a node, with `{node}` for its name, and the image of the pods that act there."""

    directory: str
    image: str

    def on(self, node: str) -> str:
        return self.directory.replace("{node}", node)


@dataclass(frozen=True)
class Refusal:
    """Why a claim gets no volume. `elsewhere`: the scheduler should choose another node."""

    text: str
    elsewhere: bool = False


def volume_name(claim: Obj) -> str:
    return f"pvc-{uid(claim)}"


def is_wanted(claim: Obj, storage_class: Obj | None) -> bool:
    """Whether it is our turn: the binder says so, and where the class waits for a pod, the scheduler chose a node."""
    marks = objects.annotations(claim)
    provisioner = marks.get(claims.STORAGE_PROVISIONER) or marks.get(claims.BETA_STORAGE_PROVISIONER)
    if claim["spec"].get("volumeName") or is_deleting(claim) or storage_class is None or provisioner != PROVISIONER:
        return False
    return claims.SELECTED_NODE in marks or storage_class.get("volumeBindingMode") != "WaitForFirstConsumer"


def node_for(claim: Obj, storage_class: Obj, nodes: Mapping[str, Obj], volumes: Iterable[Obj]) -> str | Refusal:
    """The node that a claim's volume goes to: the scheduler's choice, else the one with the fewest of our volumes."""
    if wrong := _unserved(claim):
        return Refusal(wrong)
    if chosen := objects.annotations(claim).get(claims.SELECTED_NODE):
        return chosen if chosen in nodes else Refusal(f'node "{chosen}" not found', elsewhere=True)
    used = Counter(objects.annotations(volume).get(NODE) for volume in volumes)
    fit = [n for n in nodes.values() if _takes_pods(n) and matching.topology_allows(storage_class, _place(n))]
    if not fit:
        return Refusal("no node is Ready and takes pods where the class allows its volumes")
    return name(min(fit, key=lambda n: (used[name(n)], name(n))))


def _unserved(claim: Obj) -> str:
    if matching.mode(claim) == "Block":
        return "block volumes are not made: use volumeMode Filesystem"
    if not set(claim["spec"].get("accessModes") or ()) <= _MODES:
        return "a directory of one node serves ReadWriteOnce and ReadWriteOncePod alone"
    if claim["spec"].get("selector"):
        return "claim.Spec.Selector is not supported"
    if claim["spec"].get("dataSource") or claim["spec"].get("dataSourceRef"):
        return "volumes are made empty: data sources are not supported"
    return ""


def _takes_pods(node: Obj) -> bool:
    refusing = any(taint.effect in ("NoSchedule", "NoExecute") for taint in placement.taints(node))
    return condition_holds(node, "Ready") and not (node.get("spec") or {}).get("unschedulable") and not refusing


def _place(node: Obj) -> Place:
    return Place(name(node), labels(node))


def volume_for(claim: Obj, storage_class: Obj, node: Obj, home: Home) -> Obj:
    """The volume of a claim, kept for it; the binder binds it."""
    policy = storage_class.get("reclaimPolicy") or "Delete"
    host = labels(node).get(HOSTNAME)
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [host]}]}
    if not host:
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name(node)]}]}
    metadata: Obj = {
        "name": volume_name(claim),
        "annotations": {claims.PROVISIONED_BY: PROVISIONER, NODE: name(node)},
        # So that the data goes before the object, whoever deletes it.
        **({"finalizers": [FINALIZER]} if policy == "Delete" else {}),
    }
    spec: Obj = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": claim["spec"].get("accessModes") or [],
        "volumeMode": "Filesystem",
        "persistentVolumeReclaimPolicy": policy,
        "storageClassName": name(storage_class),
        "claimRef": reference(claim),
        "local": {"path": f"{home.on(name(node))}/{volume_name(claim)}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = storage_class["mountOptions"]
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def pod_name(action: str, volume: str) -> str:
    """`action` is create or delete."""
    return f"helper-pod-{action}-{volume}"


def pod_for(action: str, volume: str, node: str, directory: str, image: str) -> Obj:
    """The pod that makes or removes a volume's directory. Anybody's process may write there, as on other provisioners'
    volumes, since nobody says beforehand who will.
    """
    where = f"/volumes/{volume}"
    command = ["mkdir", "-p", "-m", "0777", where] if action == "create" else ["rm", "-rf", where]
    container = {
        "name": "helper-pod",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE", "FOWNER"]},
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
        },
    }
    spec = {
        "nodeName": node,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "volumes", "hostPath": {"path": directory, "type": "DirectoryOrCreate"}}],
    }
    metadata = {"name": pod_name(action, volume), "namespace": NAMESPACE, "labels": {VOLUME: volume}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def is_ours(volume: Obj) -> bool:
    return objects.annotations(volume).get(claims.PROVISIONED_BY) == PROVISIONER


def is_to_go(volume: Obj) -> bool:
    """Whether a volume's directory is to be removed: its claim is gone, and its policy says so."""
    released = (volume.get("status") or {}).get("phase") in ("Released", "Failed")
    unclaimed = is_deleting(volume) and not volume["spec"].get("claimRef")
    return volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete" and (released or unclaimed)


def is_let_go(volume: Obj) -> bool:
    """Whether a volume is deleted whose data stays."""
    return is_deleting(volume) and volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete"


def without_finalizer(volume: Obj) -> Obj:
    kept = [f for f in volume["metadata"].get("finalizers") or () if f != FINALIZER]
    return {**volume, "metadata": {**volume["metadata"], "finalizers": kept}}


def given_back(claim: Obj) -> Obj:
    """The claim without the node that was chosen for it: the scheduler chooses again."""
    marks = {k: v for k, v in objects.annotations(claim).items() if k != claims.SELECTED_NODE}
    return {**claim, "metadata": {**claim["metadata"], "annotations": marks}}
