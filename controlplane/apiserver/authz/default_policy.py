"""The default policy: read from `bootstrap_policy.txt`, and reconciled with what is stored at every start."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery import errors
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


class PolicyError(Exception):
    """A policy text cannot be read; the message names the line."""


@functools.cache
def objects() -> tuple[tuple[Kind, Obj], ...]:
    """Every default role and binding, roles first; shared, so nobody may change one."""
    return tuple(parse_policy(POLICY.read_text(encoding="utf-8")))


def rules_of(role: str) -> tuple[Rule, ...]:
    """The rules of one default ClusterRole."""
    found = next(o for kind, o in objects() if kind is CLUSTER_ROLE and o["metadata"]["name"] == role)
    return parse(found["rules"])


async def make(registry: Registry, user: User, own: Path | None = None) -> None:
    """Store what is missing of the default policy, all at once: the store commits them together.

    `own` is a file of further roles and bindings, which are kept in the same way. Raises OSError, PolicyError.
    """
    wanted = list(objects())
    if own is not None:
        wanted += parse_policy(own.read_text(encoding="utf-8"), {})
    await asyncio.gather(*(_ensure(registry, kind, obj, user) for kind, obj in wanted))


async def _ensure(registry: Registry, kind: Kind, wanted: Obj, user: User) -> None:
    # Another server that starts now does the same; whoever is second finds it done.
    with contextlib.suppress(errors.AlreadyExists, errors.NotFound):
        await _mended(registry, kind, wanted, user)


async def _mended(registry: Registry, kind: Kind, wanted: Obj, user: User) -> None:
    home, called = wanted["metadata"].get("namespace", ""), wanted["metadata"]["name"]
    stored = registry.find(kind, home, called)
    if stored is None:
        await registry.create(kind, copy(wanted), home, user=user)
    elif "roleRef" in wanted and stored["roleRef"] != wanted["roleRef"]:
        # A binding's role cannot be changed: another binding of the name takes its place.
        if not is_protected(stored):
            _, gone = await registry.delete(kind, home, called, user=user, options={})
            if gone:
                await registry.create(kind, copy(wanted), home, user=user)
    elif reconciled(stored, wanted) is not None:
        await registry.mutate(kind, home, called, lambda live: reconciled(live, copy(wanted)) or live, user=user)


def parse_policy(text: str, labels: Mapping[str, str] = LABEL) -> Iterator[tuple[Kind, Obj]]:
    """The objects that a policy text describes, each labelled with `labels`. PolicyError names a line.

    The notation is explained at the head of `bootstrap_policy.txt`.
    """
    role: Obj | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line.startswith(" "):
                if role is None:
                    raise ValueError("a rule without a role")
                role["rules"] = [*(role["rules"] or ()), _rule(line)]
                continue
            word, _, rest = line.partition(" ")
            kind = KINDS[word]
            obj = _role(kind, rest) if kind in (ROLE, CLUSTER_ROLE) else _binding(kind, rest)
        except (ValueError, KeyError) as error:
            raise PolicyError(f"line {number} of the policy cannot be read: {line.strip()!r}: {error}") from error
        obj["metadata"]["labels"] = {**labels, **obj["metadata"]["labels"]}
        role = obj if kind in (ROLE, CLUSTER_ROLE) else None
        yield kind, obj


def _base(kind: Kind, path: str) -> Obj:
    home, _, called = path.partition("/") if kind.namespaced else ("", "", path)
    if not called:
        raise ValueError("a name is missing")
    metadata: Obj = {"name": called}
    if home:
        metadata["namespace"] = home
    metadata |= {"labels": {}, "annotations": {AUTOUPDATE: "true"}}
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


def is_protected(stored: Obj) -> bool:
    """Whether the administrator keeps an object as it is."""
    return (stored["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false"


def reconciled(stored: Obj, wanted: Obj) -> Obj | None:
    """What a stored default object must become: what is missing is added, nothing taken away. None: as it is.

    Objects whose administrator set the autoupdate annotation to false are left alone.
    """
    if is_protected(stored):
        return None
    out = copy(stored)
    for key in ("labels", "annotations"):
        out["metadata"][key] = {**wanted["metadata"].get(key, {}), **(out["metadata"].get(key) or {})}
    if gathered := wanted.get("aggregationRule"):
        had = (stored.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        missing_selectors = [s for s in gathered["clusterRoleSelectors"] if s not in had]
        out["aggregationRule"] = {"clusterRoleSelectors": [*had, *missing_selectors]}
    elif wanted.get("rules") is not None:
        had = stored.get("rules") or []
        # What is there as it is wanted need not be broken down, which was half of what a start does.
        missing = uncovered(parse(had), parse(rule for rule in wanted["rules"] if rule not in had))
        if missing:
            out["rules"] = [*had, *(rule.to_obj() for rule in missing)]
    for subject in wanted.get("subjects") or ():
        if subject not in (out.get("subjects") or ()):
            out["subjects"] = [*(out.get("subjects") or ()), subject]
    return out if out != stored else None
