"""What Services and EndpointSlices say, and which Services changed since somebody last asked.

Informer callbacks come in (plain functions, never blocking); `drain` hands out the routes that differ. It
keeps parsed values only, no API objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from apimachinery.timestamps import parse_time
from netproxy import views
from netproxy.model import Endpoint, Family, PortKey, Route, ServicePort
from netproxy.topology import Place, choose

Obj = Mapping[str, Any]


@dataclass(frozen=True)
class Changes:
    """Routes to write, None for a port that went away; and what each was before, None for a new one."""

    routes: Mapping[PortKey, Route | None]
    before: Mapping[PortKey, Route | None]
    triggers: tuple[datetime, ...] = ()
    """when the pods behind these changes changed, as far as the slices say"""


class _Slice(NamedTuple):
    name: str
    family: Family
    ports: tuple[tuple[views.PortId, tuple[Endpoint, ...]], ...]


@dataclass(slots=True)
class _Service:
    ports: tuple[ServicePort, ...] = ()
    # Tuples, for mostly there is one of each, and thousands of small dictionaries are megabytes.
    slices: tuple[_Slice, ...] = ()
    routed: tuple[PortKey, ...] = ()
    """ports that have a route as of the last drain"""

    def endpoints(self, key: PortKey) -> tuple[Endpoint, ...]:
        wanted = (key.port, key.protocol)
        found = [
            endpoints
            for one in self.slices
            if one.family is key.family
            for port, endpoints in one.ports
            if port == wanted
        ]
        # Mostly one slice holds all of them.
        return found[0] if len(found) == 1 else tuple(chain.from_iterable(found))


class Tracker:
    """One per proxy. `on_change` is called after every callback that may have changed a route."""

    def __init__(
        self,
        families: tuple[Family, ...],
        place: Place,
        on_change: Callable[[], None],
        answered_here: Collection[tuple[str, int]] = (),
    ) -> None:
        """`answered_here`: (cluster IP, port) where a process of this host answers; no rule may lead away from it."""
        self._families = families
        self._answered_here = answered_here
        self._place = place
        self._on_change = on_change
        self._services: dict[str, _Service] = {}
        self._dirty: set[str] = set()
        self._triggers: list[datetime] = []
        self._routes: dict[PortKey, Route] = {}
        self._health_checked: dict[PortKey, Route] = {}

    @property
    def routes(self) -> Mapping[PortKey, Route]:
        """All routes as of the last drain."""
        return self._routes

    @property
    def health_checked(self) -> Mapping[PortKey, Route]:
        """Those of them that have a health check node port."""
        return self._health_checked

    @property
    def pending(self) -> int:
        """How many Services have changes nobody has drained."""
        return len(self._dirty)

    @property
    def place(self) -> Place:
        """Where this proxy runs, as now known."""
        return self._place

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for Services."""
        some = new or old
        assert some is not None
        key = f"{some['metadata']['namespace']}/{some['metadata']['name']}"
        ports = views.service_ports(new) if new else ()
        ports = tuple(
            p for p in ports if p.key.family in self._families and (p.cluster_ip, p.port) not in self._answered_here
        )
        state = self._services.setdefault(key, _Service())
        if state.ports != ports:
            state.ports = ports
            self._touch(key)
        self._forget_if_empty(key)

    def slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for EndpointSlices."""
        for obj in (old, new):
            if obj is None:
                continue
            owner, name = views.slice_owner(obj), obj["metadata"]["name"]
            if owner is None:
                continue
            family = views.slice_family(obj) if obj is new else None
            # The slice may have moved to another Service: its old owner loses it, its new owner gets it.
            if obj is old and new is not None and views.slice_owner(new) == owner:
                continue
            self._set_slice(owner, name, family, obj)

    def place_changed(self, place: Place) -> None:
        """This node's name or zone changed: every choice is made anew."""
        if place != self._place:
            self._place = place
            self._dirty.update(self._services)
            self._on_change()

    def drain(self) -> Changes:
        """Recompute the changed Services' routes; those which came out the same are left out."""
        changed: dict[PortKey, Route | None] = {}
        before: dict[PortKey, Route | None] = {}
        for name in self._dirty:
            self._recompute(name, before, changed)
        self._dirty.clear()
        for key, route in changed.items():
            if route is None:
                del self._routes[key]
            else:
                self._routes[key] = route
            if route is not None and route.port.health_check_node_port:
                self._health_checked[key] = route
            elif self._health_checked:
                self._health_checked.pop(key, None)
        triggers, self._triggers = tuple(self._triggers), []
        return Changes(changed, before, triggers)

    def _recompute(self, name: str, before: dict[PortKey, Route | None], changed: dict[PortKey, Route | None]) -> None:
        """Add what differs: of each port its route as of the last drain, and now."""
        service = self._services.get(name)
        if service is None:
            return  # it came and went
        keys = tuple(port.key for port in service.ports)
        if service.routed != keys:
            for key in set(service.routed).difference(keys):
                before[key], changed[key] = self._routes.get(key), None
        for key, port in zip(keys, service.ports, strict=True):
            old, route = self._routes.get(key), choose(port, service.endpoints(key), self._place)
            if old != route:
                before[key], changed[key] = old, route
        service.routed = keys
        self._forget_if_empty(name)

    def _set_slice(self, owner: str, name: str, family: Family | None, obj: Obj) -> None:
        state = self._services.setdefault(owner, _Service())
        before = next((one for one in state.slices if one.name == name), None)
        after = None
        if family in self._families and family:
            after = _Slice(name, family, tuple(views.slice_endpoints(obj).items()))
        if before != after:
            others = tuple(one for one in state.slices if one is not before)
            state.slices = others if after is None else (*others, after)
            trigger = (obj["metadata"].get("annotations") or {}).get(views.TRIGGER_ANNOTATION)
            if trigger and after is not None and len(self._triggers) < 1000:
                self._triggers.append(parse_time(trigger))
            self._touch(owner)
        self._forget_if_empty(owner)

    def _forget_if_empty(self, key: str) -> None:
        state = self._services[key]
        if not state.ports and not state.slices and not state.routed:
            del self._services[key]

    def _touch(self, key: str) -> None:
        self._dirty.add(key)
        self._on_change()
