"""Which group versions other servers serve, as the APIServices say."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from apimachinery.objects import Obj

# What upstream fills in where a reference names no port.
_PORT = 443
Follower = Callable[[str], None]


@dataclass(frozen=True)
class Remote:
    """An APIService that names a Service. `service` is (namespace, name, port), `ca` its caBundle in PEM."""

    name: str
    group: str
    version: str
    service: tuple[str, str, int]
    ca: bytes
    unverified: bool
    available: bool

    @property
    def host(self) -> str:
        """Whom its certificate must name."""
        return f"{self.service[1]}.{self.service[0]}.svc"

    @property
    def root(self) -> str:
        """The path below which it serves."""
        return f"/apis/{self.group}/{self.version}"


def of(api_service: Obj) -> Remote | None:
    """None for one that this server serves itself."""
    spec = api_service.get("spec") or {}
    service = spec.get("service")
    if service is None:
        return None
    try:
        ca = base64.b64decode(spec.get("caBundle") or "")
    except (binascii.Error, ValueError):
        ca = b"?"
    return Remote(
        api_service["metadata"]["name"],
        str(spec.get("group") or ""),
        str(spec.get("version") or ""),
        (service.get("namespace") or "", service.get("name") or "", service.get("port") or _PORT),
        ca,
        bool(spec.get("insecureSkipTLSVerify")),
        is_available(api_service),
    )


def is_available(api_service: Obj) -> bool:
    listed = (api_service.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Available" and one.get("status") == "True" for one in listed)


def _group_version(api_service: Obj) -> tuple[str, str]:
    spec = api_service.get("spec") or {}
    return str(spec.get("group") or ""), str(spec.get("version") or "")


class Remotes:
    """What APIServices say at the moment, and which group versions are remote. Belongs to the server's event loop."""

    def __init__(self) -> None:
        self.version = 0
        """Another after each change of what APIServices say, but for their conditions."""
        self.places: dict[tuple[str, str], tuple[int, int]] = {}
        """(group, version) -> (its group's place, its own), of all APIServices."""
        self._known: dict[tuple[str, str], Remote] = {}
        self._followers: list[Follower] = []

    def __iter__(self) -> Iterator[Remote]:
        return iter(tuple(self._known.values()))

    def changed(self, old: Obj | None, new: Obj | None) -> None:
        """Told of every change of an APIService."""
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self.version += 1
        if old is not None:
            self._known.pop(_group_version(old), None)
            self.places.pop(_group_version(old), None)
        if new is not None:
            spec = new.get("spec") or {}
            key = _group_version(new)
            self.places[key] = (spec.get("groupPriorityMinimum") or 0, spec.get("versionPriority") or 0)
            remote = of(new)
            # The core group is this server's own, whatever an APIService says.
            if remote is not None and remote.group:
                self._known[key] = remote
        subject = new or old
        assert subject is not None
        for follower in self._followers:
            follower(subject["metadata"]["name"])

    def follow(self, follower: Follower) -> None:
        """Call with the name of every APIService that comes, changes or goes from now on."""
        self._followers.append(follower)

    def at(self, path: str) -> Remote | None:
        """Who serves a path, as it was sent; None for all that this server answers itself."""
        if not self._known or not path.startswith("/apis/"):
            return None
        parts = [unquote(part) for part in path.split("/", 5) if part]
        return self._known.get((parts[1], parts[2])) if len(parts) > 2 else None

    def named(self, name: str) -> Remote | None:
        """An APIService by its own name."""
        return next((one for one in self._known.values() if one.name == name), None)
