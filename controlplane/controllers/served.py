"""Kinds that objects name by group and kind, whoever serves them."""

from __future__ import annotations

from apimachinery import discovery
from apimachinery.client import Client
from apimachinery.kinds import Kind


class ServedKinds:
    """What the server serves, asked again when a kind is met that was not known before."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Kind] = {}

    async def of(self, group: str, kind: str) -> Kind | None:
        """The preferred version of a kind; None where nobody serves it. ApiError, Unreachable."""
        if (group, kind) not in self._known:
            found = await discovery.served(self._client)
            self._known = {(each.group, each.kind): each for each in found.preferred()}
        return self._known.get((group, kind))
