"""What Services and EndpointSlices say that has a name. Informer callbacks in, entries out; no API object is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netproxy import views
from netproxy.views import canonical

Obj = Mapping[str, Any]
Key = tuple[str, str]
"""(namespace, Service name)"""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service or an endpoint; `protocol` in lower case, as in a name."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class Host:
    """A ready endpoint: the label of its name, its address, its ports."""

    label: str
    ip: str
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A Service. Without `cluster_ips` and `external_name` it is headless."""

    cluster_ips: tuple[str, ...] = ()
    external_name: str = ""
    ports: tuple[Port, ...] = ()

    @property
    def headless(self) -> bool:
        return not self.cluster_ips and not self.external_name


class Directory:
    """`on_change` is called whenever answers about a Service may have changed."""

    def __init__(self, on_change: Callable[[Key], None] = lambda _: None) -> None:
        self._on_change = on_change
        self._entries: dict[Key, Entry] = {}
        self._slices: dict[Key, dict[str, tuple[Host, ...]]] = {}
        self._by_ip: dict[str, set[Key]] = {}

    def entry(self, key: Key) -> Entry | None:
        """The Service of that name."""
        return self._entries.get(key)

    def hosts(self, key: Key) -> tuple[Host, ...]:
        """Its ready endpoints, each once."""
        found = (host for hosts in self._slices.get(key, {}).values() for host in hosts)
        return tuple(dict.fromkeys(found))

    def owners(self, ip: str) -> list[Key]:
        """The Services with this cluster IP or with an endpoint of this address."""
        return sorted(self._by_ip.get(ip, ()))

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for Services."""
        some = new or old
        assert some is not None
        key = (some["metadata"]["namespace"], some["metadata"]["name"])
        before, after = self._entries.get(key), entry_of(new) if new else None
        if before != after:
            if after is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = after
            self._index(key, before.cluster_ips if before else ())
            self._on_change(key)

    def slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for EndpointSlices."""
        for obj in (old, new):
            owner = views.slice_owner(obj) if obj else None
            if obj is None or owner is None:
                continue
            namespace, _, service = owner.partition("/")
            if obj is new:
                self._set_slice((namespace, service), obj["metadata"]["name"], hosts_of(obj))
            elif new is None or views.slice_owner(new) != owner:
                self._set_slice((namespace, service), obj["metadata"]["name"], ())

    def _set_slice(self, key: Key, name: str, hosts: tuple[Host, ...]) -> None:
        slices = self._slices.setdefault(key, {})
        before = slices.get(name, ())
        if hosts:
            slices[name] = hosts
        else:
            slices.pop(name, None)
            if not slices:
                del self._slices[key]
        if before != hosts:
            self._index(key, (host.ip for host in before))
            self._on_change(key)

    def _index(self, key: Key, before: Iterable[str]) -> None:
        """Bring the way back from addresses in line for one Service, which had these."""
        entry = self._entries.get(key)
        now = {*(entry.cluster_ips if entry else ()), *(host.ip for host in self.hosts(key))}
        for ip in before:
            if ip not in now and ip in self._by_ip:
                self._by_ip[ip].discard(key)
                if not self._by_ip[ip]:
                    del self._by_ip[ip]
        for ip in now:
            self._by_ip.setdefault(ip, set()).add(key)


def entry_of(service: Obj) -> Entry:
    """What a Service object says. Pure."""
    spec = service.get("spec") or {}
    ports = tuple(
        Port((p.get("name") or "").lower(), (p.get("protocol") or "TCP").lower(), p["port"])
        for p in spec.get("ports") or ()
    )
    if spec.get("type") == "ExternalName":
        return Entry(external_name=(spec.get("externalName") or "").rstrip("."), ports=ports)
    return Entry(cluster_ips=views.cluster_ips(spec), ports=ports)


def hosts_of(endpoint_slice: Obj) -> tuple[Host, ...]:
    """The endpoints of a slice that have a name now: those that are ready, or that the Service publishes all the same
    (publishNotReadyAddresses: their slices say ready). Pure.
    """
    if views.slice_family(endpoint_slice) is None:
        return ()
    ports = tuple(
        Port((p.get("name") or "").lower(), (p.get("protocol") or "TCP").lower(), p["port"])
        for p in endpoint_slice.get("ports") or ()
        if p.get("port") is not None
    )
    found = []
    for endpoint in endpoint_slice.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        for address in endpoint.get("addresses") or ():
            ip = canonical(address)
            label = (endpoint.get("hostname") or "").lower() or ip.replace(".", "-").replace(":", "-")
            found.append(Host(label, ip, ports))
    return tuple(found)
