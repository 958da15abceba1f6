"""What every loop is given: a client and an event recorder that act as the loop's own account, the shared informers
(which read as the process itself, as upstream's do) and the settings.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer, without_managed_fields
from apimachinery.kinds import POD, Kind
from apimachinery.objects import Obj, key
from apimachinery.sharing import with_shared_parts
from controlplane.controllers.settings import Settings

# The API server's generateName draws from these; no vowels, so no words.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
LONGEST_BASE = 63 - SUFFIX_LENGTH


class Informers:
    """One informer for each kind that any loop asks for, however many ask."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._by_kind: dict[Kind, Informer] = {}

    def of(self, kind: Kind) -> Informer:
        informer = self._by_kind.get(kind)
        if informer is None:
            # Most of what a process of loops holds is pods, and most of these are copies of each other.
            transform = self._copy if kind is POD else without_managed_fields
            informer = self._by_kind[kind] = Informer(self._client, kind, transform=transform)
        return informer

    def _copy(self, pod: Obj) -> Obj:
        return with_shared_parts(without_managed_fields(pod), self._by_kind[POD].get(key(pod)))

    def apart(
        self, kind: Kind, namespace: str | None = None, transform: Callable[[Obj], Obj] = without_managed_fields
    ) -> Informer:
        """An informer of one loop's own, which that loop also runs."""
        return Informer(self._client, kind, namespace, transform=transform)

    def all(self) -> Iterable[Informer]:
        return tuple(self._by_kind.values())


@dataclass(frozen=True)
class Context:
    client: Client
    recorder: EventRecorder
    informers: Informers
    settings: Settings


class Loop(Protocol):
    """A controller: built from a Context (where it registers its handlers), then run for ever."""

    async def run(self) -> None: ...


async def synced(*informers: Informer) -> None:
    """Wait until all of them hold their first list."""
    await asyncio.gather(*(informer.wait_synced() for informer in informers))


def generated_name(base: str) -> str:
    """A name as generateName would make it, known beforehand: what a lost answer made can be looked up."""
    return base[:LONGEST_BASE] + "".join(random.choices(ALPHABET, k=SUFFIX_LENGTH))
