"""The default policy: read from `bootstrap_policy.txt`, and reconciled with what is stored at every start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, Kind
from apimachinery.objects import Obj, copy
from controlplane.apiserver.authz.rbac import GROUP
from controlplane.apiserver.authz.rules import Rule, parse, uncovered
from controlplane.apiserver.request import User

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

POLICY = Path(__file__).with_name("bootstrap_policy.txt")
LABEL = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
AGGREGATE = f"{GROUP}/aggregate-to-"
KINDS = {
    "clusterrole": CLUSTER_ROLE,
    "role": ROLE,
    "clusterrolebinding": CLUSTER_ROLE_BINDING,
    "rolebinding": ROLE_BINDING,
}


def objects() -> list[tuple[Kind, Obj]]:
    """Every default role and binding, roles first."""
    return list(parse_policy(POLICY.read_text(encoding="utf-8")))


def rules_of(role: str) -> tuple[Rule, ...]:
    """The rules of one default ClusterRole."""
    found = next(o for kind, o in objects() if kind is CLUSTER_ROLE and o["metadata"]["name"] == role)
    return parse(found["rules"])


async def make(registry: Registry, user: User) -> None:
    """Store what is missing of the default policy, all at once: the store commits them together."""
    await asyncio.gather(*(_ensure(registry, kind, obj, user) for kind, obj in objects()))


async def _ensure(registry: Registry, kind: Kind, wanted: Obj, user: User) -> None:
    home, called = wanted["metadata"].get("namespace", ""), wanted["metadata"]["name"]
    stored = registry.find(kind, home, called)
    if stored is None:
        await registry.create(kind, wanted, home, user=user)
    elif reconciled(stored, wanted) is not None:
        await registry.mutate(kind, home, called, lambda live: reconciled(live, wanted) or live, user=user)


def parse_policy(text: str) -> Iterator[tuple[Kind, Obj]]:
    """The objects that a policy text describes; its notation is explained at the head of the file."""
    role: Obj | None = None
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            assert role is not None
            role["rules"] = [*(role["rules"] or ()), _rule(line)]
            continue
        word, _, rest = line.partition(" ")
        kind = KINDS[word]
        obj = _role(kind, rest) if kind in (ROLE, CLUSTER_ROLE) else _binding(kind, rest)
        role = obj if kind in (ROLE, CLUSTER_ROLE) else None
        yield kind, obj


def _base(kind: Kind, path: str) -> Obj:
    home, _, called = path.partition("/") if kind.namespaced else ("", "", path)
    metadata: Obj = {"name": called}
    if home:
        metadata["namespace"] = home
    metadata |= {"labels": dict(LABEL), "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _role(kind: Kind, rest: str) -> Obj:
    path, *options = rest.split()
    obj = {**_base(kind, path), "rules": None}
    for option in options:
        word, _, target = option.partition("=")
        label = {AGGREGATE + target: "true"}
        if word == "to":
            obj["metadata"]["labels"] |= label
        else:
            obj["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": label}]}
    return obj


def _rule(line: str) -> Obj:
    verbs, groups, targets, *names = (part.split() for part in line.split(" : "))
    if groups == ["url"]:
        return {"verbs": verbs, "nonResourceURLs": targets}
    rule: Obj = {
        "verbs": verbs,
        "apiGroups": ["" if group == "core" else group for group in groups],
        "resources": targets,
    }
    return {**rule, "resourceNames": names[0]} if names else rule


def _binding(kind: Kind, rest: str) -> Obj:
    head, _, subjects = rest.partition(" :")
    path, _, role = head.partition(" = ")
    role_kind, _, role_name = role.partition(" ")
    obj = _base(kind, path)
    if not role:
        role_kind, role_name = ("Role" if kind.namespaced else "ClusterRole"), obj["metadata"]["name"]
    found = [_subject(text) for text in subjects.split(",") if text.strip()]
    if found:
        obj["subjects"] = found
    obj["roleRef"] = {"apiGroup": GROUP, "kind": role_kind, "name": role_name}
    return obj


def _subject(text: str) -> Obj:
    kind, called = text.split()
    if kind == "ServiceAccount":
        home, _, account = called.partition("/")
        return {"kind": kind, "name": account, "namespace": home}
    return {"kind": kind, "apiGroup": GROUP, "name": called}


def reconciled(stored: Obj, wanted: Obj) -> Obj | None:
    """What a stored default object must become: what is missing is added, nothing taken away. None: as it is.

    Objects whose administrator set the autoupdate annotation to false are left alone.
    """
    if (stored["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false":
        return None
    out = copy(stored)
    for key in ("labels", "annotations"):
        out["metadata"][key] = {**(out["metadata"].get(key) or {}), **wanted["metadata"][key]}
    if wanted.get("rules") is not None:
        missing = uncovered(parse(stored.get("rules")), parse(wanted["rules"]))
        if missing:
            out["rules"] = [*(stored.get("rules") or ()), *(rule.to_obj() for rule in missing)]
    for subject in wanted.get("subjects") or ():
        if subject not in (out.get("subjects") or ()):
            out["subjects"] = [*(out.get("subjects") or ()), subject]
    return out if out != stored else None
