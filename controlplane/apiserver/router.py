"""From a URL to what is asked for, as upstream's RequestInfo reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from apimachinery.kinds import Kind
from controlplane.apiserver.catalog.catalog import Catalog

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NAMESPACE_PARTS = frozenset(("status", "finalize"))


@dataclass(frozen=True)
class Target:
    """resource "" : no resource of a served group version. kind None with a resource: one that is not served."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""
    kind: Kind | None = None


def locate(catalog: Catalog, method: str, path: str, query: Mapping[str, Sequence[str]]) -> Target:
    """path is as sent (still escaped), query decoded."""
    parts = [unquote(part) for part in path.split("/") if part]
    plain = method.lower()
    if len(parts) < 2 or parts[0] not in ("api", "apis"):
        return Target(plain)
    group, rest = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
    if len(rest) < 2:
        return Target(plain, group=group)
    version, rest = rest[0], rest[1:]
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace, name, subresource, tail = "", "", "", ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_PARTS:
            rest = rest[2:]
    resource = rest[0]
    if len(rest) > 1:
        name = rest[1]
    if len(rest) > 2:
        subresource = rest[2]
    if len(rest) > 3:
        tail = "/" + "/".join(path.strip("/").split("/")[-(len(rest) - 3) :])
        tail += "/" if path.endswith("/") else ""
    kind = catalog.at(group, version, resource)
    if kind is not None and not _fits(kind, namespace, name):
        kind = None
    return Target(
        _verb(method, name, query, watch),
        group,
        version,
        resource,
        namespace,
        name,
        subresource,
        tail,
        kind,
    )


def _fits(kind: Kind, namespace: str, name: str) -> bool:
    if kind.plural == "namespaces" and not kind.group:
        return True
    if not kind.namespaced:
        return not namespace
    # Without a namespace only the collection can be read.
    return bool(namespace) or not name


def _verb(method: str, name: str, query: Mapping[str, Sequence[str]], watch: bool) -> str:
    if watch:
        return "watch"
    if method in ("GET", "HEAD"):
        if name:
            return "get"
        return "watch" if is_true(query, "watch") else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, "")


def is_true(query: Mapping[str, Sequence[str]], key: str) -> bool:
    """A boolean parameter as upstream converts it: present and neither "0" nor "false"."""
    values = query.get(key)
    return values is not None and bool(values) and values[0].lower() not in ("0", "false")
