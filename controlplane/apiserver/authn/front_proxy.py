"""Users named in headers by a server in front: how this server names them, and how it reads those named to it. Pure.

The standard headers of kubeadm's API servers: X-Remote-User, -Uid, -Group and -Extra-KEY.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from controlplane.apiserver.request import User

USER, UID, GROUP, EXTRA = "X-Remote-User", "X-Remote-Uid", "X-Remote-Group", "X-Remote-Extra-"
_PREFIX = EXTRA.lower()
_NAMED = frozenset(name.lower() for name in (USER, UID, GROUP))
# What may stand in a header's name (RFC 9110, section 5.6.2), but the sign that others are escaped with.
_LEGAL = frozenset("!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_about(header: str) -> bool:
    """Whether a header of that name says who somebody is."""
    low = header.lower()
    return low in _NAMED or low.startswith(_PREFIX)


def headers_of(user: User) -> Iterator[tuple[str, str]]:
    """The headers that name a user."""
    yield USER, user.name
    if user.uid:
        yield UID, user.uid
    for group in user.groups:
        yield GROUP, group
    for key, values in user.extra.items():
        for value in values:
            yield EXTRA + _escaped(key), value


def user_of(headers: Iterable[tuple[str, str]]) -> User | None:
    """Who is named; None where nobody is."""
    named: dict[str, str] = {}
    groups: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers:
        low = name.lower()
        if low == GROUP.lower():
            groups += [value] if value else []
        elif low in _NAMED:
            named.setdefault(low, value)
        elif low.startswith(_PREFIX):
            key = unquote(low[len(_PREFIX) :])
            extra[key] = (*extra.get(key, ()), value)
    name = named.get(USER.lower(), "")
    return User(name, named.get(UID.lower(), ""), tuple(groups), extra) if name else None


def _escaped(key: str) -> str:
    return "".join(chr(b) if chr(b) in _LEGAL else f"%{b:02X}" for b in key.encode())
