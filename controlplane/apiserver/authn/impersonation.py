"""Impersonation headers: what is asked for, what must be allowed first, who the request then is. Pure.

Every part of the wanted identity is authorised by itself: with the verb of a constrained mode, after the request itself
with the verb `impersonate-on:MODE:VERB` (KEP-5284), or with the verb `impersonate`, whatever the request is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from apimachinery import formats
from apimachinery.errors import BadRequest, invalid
from controlplane.apiserver.authn.user import (
    ANONYMOUS_NAME,
    AUTHENTICATED,
    MASTERS,
    NODE_NAME,
    NODE_PREFIX,
    NODES,
    UNAUTHENTICATED,
    extra_of,
    service_account_groups,
    split_service_account,
)
from controlplane.apiserver.request import Attributes, User

USER_HEADER = "impersonate-user"
GROUP_HEADER = "impersonate-group"
UID_HEADER = "impersonate-uid"
EXTRA_PREFIX = "impersonate-extra-"
_ASSOCIATED, _ASSOCIATED_KEYS = "associated-node", "authentication.kubernetes.io/associated-node-keys"
# No constrained mode gives these.
_REFUSED = {"", MASTERS}
# From so many on, a yes to all of them is tried for first.
_MANY = 4


@dataclass(frozen=True)
class Wanted:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def parse(headers: Iterable[tuple[str, str]]) -> Wanted | None:
    """The identity the headers ask for; None when they ask for none.

    `headers` are (name, value) pairs, repeated names repeated. Raises BadRequest for groups, uid or extra
    without a user.
    """
    name, uid = "", ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for raw, value in headers:
        key = raw.lower()
        if not key.startswith("impersonate-"):
            continue
        if key == USER_HEADER:
            name = value
        elif key == UID_HEADER:
            uid = value
        elif key == GROUP_HEADER:
            groups.append(value)
        elif key.startswith(EXTRA_PREFIX):
            extra.setdefault(unquote(key[len(EXTRA_PREFIX) :]), []).append(value)
    if name:
        return Wanted(name, tuple(groups), uid, extra_of(extra))
    if groups or uid or extra:
        raise BadRequest(f"requested {_go_value(groups, uid, extra)} without impersonating a user name")
    return None


@dataclass(frozen=True)
class Step:
    """Questions that must all be answered with yes. instead: one whose yes spares them; refusal: why they need not be
    asked.
    """

    questions: tuple[Attributes, ...]
    instead: Attributes | None = None
    refusal: str = ""


@dataclass(frozen=True)
class Way:
    """A way to become the wanted user: its steps in order, as whom they are asked, and who the request then is."""

    steps: tuple[Step, ...]
    asker: User
    user: User


def ways(wanted: Wanted, requestor: User, asked: Attributes | None) -> Iterator[Way]:
    """The constrained modes that apply, then the old way, which the verb `impersonate` alone allows (KEP-5284).

    asked: what the request is about; None where the old way is the only one. The first way whose questions are all
    answered with yes is taken; when there is none, the refusal of the first is the answer.
    """
    if asked is not None:
        for mode in _modes(wanted, requestor):
            steps = (
                Step((replace(asked, verb=f"impersonate-on:{mode}:{asked.verb}"),)),
                *_steps(wanted, f"impersonate:{mode}", "authentication.k8s.io", mode),
            )
            yield Way(steps, _asker(requestor) if mode == _ASSOCIATED else requestor, _user(wanted, constrained=True))
    yield Way(tuple(_steps(wanted, "impersonate", "", "")), requestor, _user(wanted, constrained=False))


def _modes(wanted: Wanted, requestor: User) -> Iterator[str]:
    node, account = _node(wanted.name), split_service_account(wanted.name)
    if not node and not account:
        yield "user-info"
    elif wanted.groups or wanted.uid or wanted.extra:
        # Of these the server itself says all but the name.
        return
    elif node:
        if split_service_account(requestor.name) and requestor.extra.get(NODE_NAME) == (node,):
            yield _ASSOCIATED
        yield "arbitrary-node"
    else:
        yield "serviceaccount"


def _steps(wanted: Wanted, verb: str, group: str, mode: str) -> Iterator[Step]:
    """One for each part of the wanted identity; mode "" is the old way, which refuses nothing by itself."""
    subject = Attributes(verb=verb, group=group, version="v1", resource="users", name=wanted.name)
    identity = Attributes(verb=verb, group="authentication.k8s.io", version="v1")
    if account := split_service_account(wanted.name):
        subject = replace(subject, resource="serviceaccounts", namespace=account[0], name=account[1])
    elif mode and (node := _node(wanted.name)):
        # Which node it is, the mode has seen to.
        subject = replace(subject, resource="nodes", name="*" if mode == _ASSOCIATED else node)
    yield Step((subject,))
    if wanted.uid:
        yield Step((replace(identity, resource="uids", name=wanted.uid),))
    if wanted.groups:
        groups = replace(subject, resource="groups", namespace="", name="")
        each = tuple(replace(groups, name=name) for name in wanted.groups)
        many = replace(groups, name="*") if mode and len(each) >= _MANY else None
        yield _refused_groups(groups, wanted) if mode and _REFUSED & set(wanted.groups) else Step(each, many)
    if wanted.extra:
        extras = replace(identity, resource="userextras")
        pairs = [(key, value) for key, values in wanted.extra.items() for value in values]
        many = replace(extras, subresource="*", name="*") if mode and len(pairs) >= _MANY else None
        refusal = _extra_complaint(wanted.extra) if mode else ""
        each = tuple(replace(extras, subresource=key, name=value) for key, value in pairs)
        yield Step((extras,), refusal=refusal) if refusal else Step(each, many)


def _refused_groups(groups: Attributes, wanted: Wanted) -> Step:
    if "" in wanted.groups:
        return Step((groups,), refusal="impersonating the empty string group is not allowed")
    text = f"impersonating the {MASTERS} group is not allowed"
    return Step((replace(groups, name=MASTERS),), refusal=text)


def _extra_complaint(extra: Mapping[str, tuple[str, ...]]) -> str:
    """What the constrained modes do not let in, "" for nothing. Keys are read from headers in lower case."""
    for key, values in extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if wrong := formats.domain_prefixed_path(key):
            told = [str(invalid("extra.key", part, text)) for part, text in wrong]
            shown = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
            return f"impersonating an invalid key in extra is not allowed: {shown}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _asker(requestor: User) -> User:
    """A service account on the node that it asks for: which node that is, is no matter of policy."""
    return replace(requestor, extra={_ASSOCIATED_KEYS: tuple(sorted(requestor.extra))})


def _node(name: str) -> str:
    """The node that a user name stands for; "" for none."""
    node = name.removeprefix(NODE_PREFIX)
    return node if node != name and not formats.dns1123_subdomain(node) else ""


def _user(wanted: Wanted, constrained: bool) -> User:
    """The effective user: service accounts get their groups, everybody but the anonymous is authenticated."""
    groups = list(wanted.groups)
    account = split_service_account(wanted.name)
    if account and not groups:
        groups += service_account_groups(account[0])
    if constrained and _node(wanted.name):
        groups = [NODES]
    if wanted.name == ANONYMOUS_NAME:
        groups += [UNAUTHENTICATED] if UNAUTHENTICATED not in groups else []
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(wanted.name, wanted.uid, tuple(groups), wanted.extra)


def _go_value(groups: list[str], uid: str, extra: Mapping[str, list[str]]) -> str:
    """The wanted user in the notation of Go's %#v, which upstream's message contains."""

    def strings(values: list[str]) -> str:
        quoted = ", ".join(f'"{value}"' for value in values)
        return f"[]string{{{quoted}}}" if values else "[]string(nil)"

    pairs = ", ".join(f'"{key}":{strings(values)}' for key, values in sorted(extra.items()))
    shown = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{strings(groups)}, Extra:{shown}}}'
