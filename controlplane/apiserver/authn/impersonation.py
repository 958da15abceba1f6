"""Impersonation headers: what is asked for, what must be allowed first, who the request then is.

Every part of the wanted identity is authorised by itself with the verb `impersonate`, as upstream does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from apimachinery.errors import BadRequest
from controlplane.apiserver.authn.user import (
    ANONYMOUS_NAME,
    AUTHENTICATED,
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


def checks(wanted: Wanted) -> list[Attributes]:
    """The questions that must all be answered with yes before the request may act as `wanted`."""
    account = split_service_account(wanted.name)
    if account:
        out = [
            Attributes(
                verb="impersonate",
                resource="serviceaccounts",
                namespace=account[0],
                name=account[1],
                version="v1",
            )
        ]
    else:
        out = [Attributes(verb="impersonate", resource="users", name=wanted.name, version="v1")]
    out += [Attributes(verb="impersonate", resource="groups", name=group, version="v1") for group in wanted.groups]
    common = {"verb": "impersonate", "group": "authentication.k8s.io", "version": "v1"}
    out += [
        Attributes(**common, resource="userextras", subresource=key, name=value)
        for key, values in wanted.extra.items()
        for value in values
    ]
    if wanted.uid:
        out.append(Attributes(**common, resource="uids", name=wanted.uid))
    return out


def user_of(wanted: Wanted) -> User:
    """The effective user: service accounts get their groups, everybody but the anonymous is authenticated."""
    groups = list(wanted.groups)
    account = split_service_account(wanted.name)
    if account and not groups:
        groups += service_account_groups(account[0])
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
