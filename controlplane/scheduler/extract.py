"""Frozen views of pods and nodes: everything the plugins read, computed once per object version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apimachinery import selectors
from apimachinery.objects import Obj, controller_of
from apimachinery.pods import placement
from apimachinery.pods.placement import NodeTerm, Taint, Toleration
from apimachinery.pods.ports import HostPort, host_ports
from apimachinery.pods.requests import Amounts, amounts, pod_requests
from apimachinery.quantity import parse
from apimachinery.volumes.claims import Use, uses

DEFAULT_SCHEDULER = "default-scheduler"
# A container that asks for nothing still counts this much when nodes are compared (upstream's non-zero
# requests).
UNREQUESTED = {"cpu": parse("100m"), "memory": parse("200Mi")}
HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Spread:
    """One topologySpreadConstraint, its selector already merged with matchLabelKeys."""

    key: str
    max_skew: int
    selector: selectors.LabelSelector
    hard: bool
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True)
class PodTerm:
    """One pod (anti-)affinity term. `namespaces` empty with `any_namespace` false never happens."""

    key: str
    selector: selectors.LabelSelector
    namespaces: frozenset[str]
    any_namespace: bool
    identity: str
    weight: int = 0

    def selects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        return (self.any_namespace or namespace in self.namespaces) and self.selector.matches(labels)


@dataclass(frozen=True)
class PodAffinity:
    """A pod's wishes about other pods; only the preferred terms carry a weight (1 to 100)."""

    required: tuple[PodTerm, ...] = ()
    preferred: tuple[PodTerm, ...] = ()
    anti_required: tuple[PodTerm, ...] = ()
    anti_preferred: tuple[PodTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.required or self.preferred or self.anti_required or self.anti_preferred)


@dataclass(frozen=True)
class Pod:
    """A pod as the scheduler sees it. `labels` must not be changed; `label_set` is its hashable form."""

    key: str
    uid: str
    namespace: str
    name: str
    node_name: str
    profile: str
    priority: int
    created: str
    labels: Mapping[str, str]
    label_set: frozenset[tuple[str, str]]
    requests: Amounts
    scored: Amounts
    tolerations: tuple[Toleration, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_required: tuple[NodeTerm, ...] | None = None
    node_preferred: tuple[tuple[int, NodeTerm], ...] = ()
    ports: frozenset[HostPort] = frozenset()
    spread: tuple[Spread, ...] = ()
    affinity: PodAffinity = PodAffinity()
    gates: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    claims: tuple[Use, ...] = ()
    owner: tuple[str, str] | None = None
    nominated: str = ""
    never_preempts: bool = False
    deleting: bool = False
    finished: bool = False
    started: str = ""


@dataclass(frozen=True)
class Node:
    """A node without its pods. `allocatable` has the unit rules of Amounts."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Amounts
    images: Mapping[str, int]


def pod(obj: Obj) -> Pod:
    """The view of one v1 Pod object; a malformed quantity raises QuantityError."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    labels = meta.get("labels") or {}
    floored = pod_requests(spec, UNREQUESTED)
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    namespace = meta.get("namespace", "")
    owner = controller_of(obj)
    return Pod(
        key=f"{namespace}/{meta['name']}",
        uid=meta.get("uid", ""),
        namespace=namespace,
        name=meta["name"],
        node_name=spec.get("nodeName") or "",
        profile=spec.get("schedulerName") or DEFAULT_SCHEDULER,
        priority=spec.get("priority") or 0,
        created=meta.get("creationTimestamp") or "",
        labels=labels,
        label_set=frozenset(labels.items()),
        requests=pod_requests(spec),
        scored={name: floored.get(name, 0) for name in UNREQUESTED},
        tolerations=placement.tolerations(spec),
        node_selector=spec.get("nodeSelector") or {},
        node_required=placement.required_terms(spec),
        node_preferred=tuple(
            (p.get("weight", 0), placement.node_term(p.get("preference") or {}))
            for p in node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        ports=frozenset(host_ports(spec)),
        spread=tuple(_spread(c, labels) for c in spec.get("topologySpreadConstraints") or ()),
        affinity=_pod_affinity(affinity, namespace, labels),
        gates=tuple(g["name"] for g in spec.get("schedulingGates") or ()),
        images=tuple(c.get("image", "") for c in spec.get("containers") or ()),
        claims=tuple(uses(obj)),
        owner=(owner["kind"], owner["name"]) if owner else None,
        nominated=status.get("nominatedNodeName") or "",
        never_preempts=spec.get("preemptionPolicy") == "Never",
        deleting="deletionTimestamp" in meta,
        finished=status.get("phase") in ("Succeeded", "Failed"),
        started=status.get("startTime") or "",
    )


def node(obj: Obj) -> Node:
    """The view of one v1 Node object."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return Node(
        name=obj["metadata"]["name"],
        labels=obj["metadata"].get("labels") or {},
        taints=placement.taints(obj),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts(status.get("allocatable") or status.get("capacity") or {}),
        images={name: i.get("sizeBytes", 0) for i in status.get("images") or () for name in i.get("names") or ()},
    )


def _merged_selector(
    selector: Obj | None, labels: Mapping[str, str], same: Iterable[str], different: Iterable[str] = ()
) -> selectors.LabelSelector:
    if selector is None:
        return selectors.from_label_selector(None)
    extra = [{"key": k, "operator": "In", "values": [labels[k]]} for k in same if k in labels]
    extra += [{"key": k, "operator": "NotIn", "values": [labels[k]]} for k in different if k in labels]
    merged = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
    return selectors.from_label_selector(merged)


def _spread(c: Obj, labels: Mapping[str, str]) -> Spread:
    return Spread(
        key=c["topologyKey"],
        max_skew=c["maxSkew"],
        selector=_merged_selector(c.get("labelSelector"), labels, c.get("matchLabelKeys") or ()),
        hard=c.get("whenUnsatisfiable") != "ScheduleAnyway",
        min_domains=c.get("minDomains") or 1,
        honor_affinity=(c.get("nodeAffinityPolicy") or "Honor") == "Honor",
        honor_taints=c.get("nodeTaintsPolicy") == "Honor",
    )


def _pod_affinity(affinity: Obj, namespace: str, labels: Mapping[str, str]) -> PodAffinity:
    def both(kind: str) -> tuple[tuple[PodTerm, ...], tuple[PodTerm, ...]]:
        part = affinity.get(kind) or {}
        required = part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        preferred = part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return (
            tuple(_pod_term(t, namespace, labels) for t in required),
            tuple(_pod_term(p["podAffinityTerm"], namespace, labels, p.get("weight", 0)) for p in preferred),
        )

    if not affinity:
        return PodAffinity()
    return PodAffinity(*both("podAffinity"), *both("podAntiAffinity"))


def _pod_term(term: Obj, namespace: str, labels: Mapping[str, str], weight: int = 0) -> PodTerm:
    # A namespaceSelector that is not empty would need the namespaces' labels; only the empty one (all
    # namespaces) and none (the pod's own) are taken here.
    names = frozenset(term.get("namespaces") or ())
    any_namespace = term.get("namespaceSelector") == {}
    if not names and not any_namespace:
        names = frozenset((namespace,))
    same, different = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    selector = _merged_selector(term.get("labelSelector"), labels, same, different)
    merged = {k: labels[k] for k in (*same, *different) if k in labels}
    identity = repr((term, sorted(names), any_namespace, sorted(merged.items()), weight))
    return PodTerm(term["topologyKey"], selector, names, any_namespace, identity, weight)
