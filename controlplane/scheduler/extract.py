"""Frozen views of pods and nodes: everything the plugins read, computed once per object version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery import selectors
from apimachinery.objects import Obj, controller_of
from apimachinery.quantity import parse

Amounts = Mapping[str, int]
"""Resource name to amount: milli-cores for ``cpu``, whole units (bytes, pieces) for everything else."""

DEFAULT_SCHEDULER = "default-scheduler"
# A container that asks for nothing still counts this much when nodes are compared (upstream's non-zero
# requests).
UNREQUESTED = {"cpu": 100, "memory": 200 * 1024 * 1024}
HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Toleration:
    """A pod's toleration; empty ``key`` and ``effect`` cover any, ``operator`` is Equal unless it says otherwise."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Whether this toleration covers the taint (API: Toleration, empty key with Exists covers all)."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        if self.operator in ("Lt", "Gt"):
            return _compares(self.operator, taint.value, self.value)
        return bool(self.key) and self.value == taint.value


@dataclass(frozen=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Requirement:
    """One match expression; ``operator`` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Node selector semantics: NotIn and DoesNotExist match a missing key, Gt and Lt compare integers."""
        present = self.key in labels
        value = labels.get(self.key, "")
        if self.operator == "In":
            return present and value in self.values
        if self.operator == "NotIn":
            return not present or value not in self.values
        if self.operator == "Exists":
            return present
        if self.operator == "DoesNotExist":
            return not present
        return present and _compares(self.operator, value, self.values[0] if self.values else "")


@dataclass(frozen=True)
class NodeTerm:
    """One nodeSelectorTerm: all requirements hold. A term without any matches nothing."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    def matches(self, node: Node) -> bool:
        """Whether the node's labels and fields (only metadata.name exists) satisfy the term."""
        if not self.expressions and not self.fields:
            return False
        return all(r.matches(node.labels) for r in self.expressions) and all(
            r.matches({"metadata.name": node.name}) for r in self.fields
        )


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
    """One pod (anti-)affinity term. ``namespaces`` empty with ``any_namespace`` false never happens."""

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
    """A pod as the scheduler sees it. ``labels`` must not be changed; ``label_set`` is its hashable form."""

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
    ports: frozenset[tuple[str, str, int]] = frozenset()
    spread: tuple[Spread, ...] = ()
    affinity: PodAffinity = PodAffinity()
    gates: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    owner: tuple[str, str] | None = None
    nominated: str = ""
    never_preempts: bool = False
    deleting: bool = False
    finished: bool = False
    started: str = ""


@dataclass(frozen=True)
class Node:
    """A node without its pods. ``allocatable`` has the unit rules of Amounts."""

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
    requests, scored = pod_requests(spec)
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
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
        requests=requests,
        scored=scored,
        tolerations=tuple(_toleration(t) for t in spec.get("tolerations") or ()),
        node_selector=spec.get("nodeSelector") or {},
        node_required=None if required is None else node_terms(required),
        node_preferred=tuple(
            (p.get("weight", 0), _node_term(p.get("preference") or {}))
            for p in node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        ports=frozenset(_host_ports(spec)),
        spread=tuple(_spread(c, labels) for c in spec.get("topologySpreadConstraints") or ()),
        affinity=_pod_affinity(affinity, namespace, labels),
        gates=tuple(g["name"] for g in spec.get("schedulingGates") or ()),
        images=tuple(c.get("image", "") for c in spec.get("containers") or ()),
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
        taints=tuple(
            Taint(t.get("key", ""), t.get("value") or "", t.get("effect", "")) for t in spec.get("taints") or ()
        ),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts(status.get("allocatable") or status.get("capacity") or {}),
        images={name: i.get("sizeBytes", 0) for i in status.get("images") or () for name in i.get("names") or ()},
    )


def amounts(quantities: Mapping[str, Any]) -> dict[str, int]:
    """Parsed quantities, zero amounts left out."""
    parsed = {name: (parse(q).milli() if name == "cpu" else parse(q).value()) for name, q in quantities.items()}
    return {name: amount for name, amount in parsed.items() if amount}


def pod_requests(spec: Obj) -> tuple[dict[str, int], dict[str, int]]:
    """What a pod asks of its node, and the same with upstream's floor for containers that ask for nothing.

    max(sum of app containers and sidecars, each plain init container beside the sidecars started before it),
    plus overhead; pod-level requests (spec.resources) override what they name. KEP 753, KEP 2837.
    """
    plain = _sum_requests(spec, {})
    floored = _sum_requests(spec, UNREQUESTED)
    level = amounts((spec.get("resources") or {}).get("requests") or {})
    overhead = amounts(spec.get("overhead") or {})
    for total in (plain, floored):
        total.update(level)
        _add(total, overhead)
    return plain, {name: floored.get(name, 0) for name in UNREQUESTED}


def _sum_requests(spec: Obj, floor: Mapping[str, int]) -> dict[str, int]:
    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(running, _container_requests(container, floor))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        wants = _container_requests(container, floor)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, wants)
            wants = sidecars
        else:
            _add(wants, sidecars)
        _raise_to(peak, wants)
    _add(running, sidecars)
    _raise_to(running, peak)
    return running


def _container_requests(container: Obj, floor: Mapping[str, int]) -> dict[str, int]:
    requests = (container.get("resources") or {}).get("requests") or {}
    wants = amounts(requests)
    for name, amount in floor.items():
        if name not in requests:
            wants[name] = amount
    return wants


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: dict[str, int], other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        if amount > total.get(name, 0):
            total[name] = amount


def _host_ports(spec: Obj) -> Iterable[tuple[str, str, int]]:
    containers = list(spec.get("containers") or ())
    containers += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"]


def _toleration(t: Obj) -> Toleration:
    return Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")


def node_terms(selector: Obj) -> tuple[NodeTerm, ...]:
    """The alternatives of a v1 NodeSelector."""
    return tuple(_node_term(t) for t in selector.get("nodeSelectorTerms") or ())


def _node_term(term: Obj) -> NodeTerm:
    return NodeTerm(_requirements(term.get("matchExpressions")), _requirements(term.get("matchFields")))


def _requirements(items: Iterable[Obj] | None) -> tuple[Requirement, ...]:
    return tuple(Requirement(r["key"], r["operator"], tuple(r.get("values") or ())) for r in items or ())


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


def _compares(operator: str, left: str, right: str) -> bool:
    try:
        return int(left) > int(right) if operator == "Gt" else int(left) < int(right)
    except ValueError:
        return False
