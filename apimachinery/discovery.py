"""Which kinds a server serves, asked of the server itself (aggregated discovery, KEP-3352)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import Kind, Subresource
from apimachinery.objects import Obj

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_PATHS = ("/api", "/apis")


@dataclass(frozen=True)
class Served:
    """kinds: every version of every kind, the preferred version of a group first.

    stale: group versions ("metrics.k8s.io/v1beta1") of aggregated servers that do not answer: what they serve is what
    was last known, or nothing.
    """

    kinds: tuple[Kind, ...]
    stale: tuple[str, ...] = ()

    def preferred(self) -> Iterator[Kind]:
        """Each kind once, in the version that its group prefers among those that have it."""
        seen: set[tuple[str, str]] = set()
        for kind in self.kinds:
            if (kind.group, kind.plural) not in seen:
                seen.add((kind.group, kind.plural))
                yield kind


async def served(client: Client) -> Served:
    """Ask the server. Raises ApiError, Unreachable."""
    kinds: list[Kind] = []
    stale: list[str] = []
    for path in _PATHS:
        answer = await client.request("GET", path, headers={"Accept": _ACCEPT})
        if answer.get("kind") != "APIGroupDiscoveryList":
            raise errors.ApiError(f"{path}: the server has no aggregated discovery; Kubernetes 1.30 or newer is needed")
        for group in answer.get("items") or ():
            name = (group.get("metadata") or {}).get("name", "")
            for version in group.get("versions") or ():
                if version.get("freshness") == "Stale":
                    stale.append(f"{name}/{version['version']}")
                kinds += [_kind(name, version["version"], one) for one in version.get("resources") or ()]
    return Served(tuple(kinds), tuple(stale))


def _kind(group: str, version: str, resource: Obj) -> Kind:
    plural = resource["resource"]
    subresources = [_subresource(one) for one in resource.get("subresources") or ()]
    return Kind(
        group=group,
        version=version,
        kind=(resource.get("responseKind") or {}).get("kind", ""),
        plural=plural,
        singular=resource.get("singularResource", ""),
        namespaced=resource.get("scope") == "Namespaced",
        short_names=tuple(resource.get("shortNames") or ()),
        categories=tuple(resource.get("categories") or ()),
        verbs=frozenset(resource.get("verbs") or ()),
        subresources={one.name: one for one in subresources},
        storage=f"{plural}.{group}" if group else plural,
    )


def _subresource(found: Obj) -> Subresource:
    body = found.get("responseKind") or {}
    verbs = frozenset(found.get("verbs") or ())
    return Subresource(
        found["subresource"], verbs, body.get("kind", ""), body.get("group", ""), body.get("version", "")
    )
