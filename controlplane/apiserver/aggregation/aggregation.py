"""All that is done about APIServices, put together."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from apimachinery.kinds import API_SERVICE, Kind
from apimachinery.kit.lifecycle import Lifecycle
from controlplane.apiserver.aggregation.availability import Availability
from controlplane.apiserver.aggregation.dialling import Asker, Dialler
from controlplane.apiserver.aggregation.discovering import Discovering
from controlplane.apiserver.aggregation.passing import Passing
from controlplane.apiserver.aggregation.remotes import Remotes
from controlplane.apiserver.aggregation.specifying import Specifying
from controlplane.apiserver.discovery import Others
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Handler, Request
from controlplane.apiserver.streams.services import Services


class Aggregation:
    """certificate: how this server proves to the others that it may say who asks."""

    def __init__(self, registry: Registry, certificate: tuple[Path, Path] | None) -> None:
        self.known = Remotes()
        services = Services(registry)
        self._dialler = Dialler(services, certificate)
        self._passing = Passing(self.known, self._dialler)
        self._availability = Availability(registry, self.known, services, self._dialler)
        asker = Asker(self._dialler)
        self._discovering = Discovering(self.known, asker)
        self.openapi = Specifying(self.known, asker, self._passing.to)
        self._catalog = registry.catalog
        registry.subscribe(API_SERVICE, self.known.changed)

    def handler(self, request: Request) -> Handler | None:
        """Who answers a request that is another server's to answer; None for this server's own."""
        return self._passing.handler(request)

    @property
    def version(self) -> Hashable:
        """Another after each change of what discovery is made of."""
        return self._catalog.version, self.known.version, self._discovering.version

    def kinds(self) -> tuple[Kind, ...]:
        """What this server serves itself."""
        return self._catalog.kinds()

    def others(self) -> Others:
        """What discovery says beside that."""
        return Others(dict(self.known.places), dict(self._discovering.entries))

    def tend(self, lifecycle: Lifecycle) -> None:
        """Begin the loops; the lifecycle ends them and the connections."""
        lifecycle.push("connections to aggregated servers", self._dialler.close)
        lifecycle.spawn("discovery of APIServices", self._discovering.run())
        lifecycle.spawn("documents of APIServices", self.openapi.run())
        lifecycle.spawn("availability of APIServices", self._availability.run())
