"""Specs of FlowSchemas and PriorityLevelConfigurations as the server writes them, and those that nobody may change."""

from __future__ import annotations

from apimachinery.objects import Obj

EXEMPT: Obj = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}


def level(shares: int, lends: int, queuing: tuple[int, int, int] | None) -> Obj:
    """The spec of a limited level. lends: percent of its shares. queuing: (queues, hand size, length of a queue)."""
    response: Obj = {"type": "Reject"}
    if queuing is not None:
        queues, hand, length = queuing
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lends}
    return {"type": "Limited", "limited": limited}


def schema(level: str, precedence: int, by: str, rules: Obj) -> Obj:
    """The spec of a FlowSchema. by: what tells flows apart, "" for nothing."""
    spec: Obj = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    return {**spec, **({"distinguisherMethod": {"type": by}} if by else {}), "rules": [rules]}


def groups(*names: str) -> list[Obj]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def users(*names: str) -> list[Obj]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


EVERYBODY = groups("system:unauthenticated", "system:authenticated")
SYSTEM_ACCOUNTS: list[Obj] = [
    {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}},
]


def rule(verbs: list[str], groups: list[str], resources: list[str], cluster: bool) -> Obj:
    """Of resources, in all namespaces. cluster: also of those in none."""
    found: Obj = {"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": ["*"]}
    return {**found, "clusterScope": True} if cluster else found


def anything(subjects: list[Obj]) -> Obj:
    """All that somebody may ask for."""
    paths = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    return {"subjects": subjects, "resourceRules": [rule(["*"], ["*"], ["*"], True)], "nonResourceRules": paths}


# By name: what is always there as said here. Of the exempt level somebody may still say what it lends.
MANDATORY_LEVELS: dict[str, Obj] = {"exempt": EXEMPT, "catch-all": level(5, 0, None)}
MANDATORY_SCHEMAS: dict[str, Obj] = {
    "exempt": schema("exempt", 1, "", anything(groups("system:masters"))),
    "catch-all": schema("catch-all", 10000, "ByUser", anything(EVERYBODY)),
}
