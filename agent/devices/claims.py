"""Prepares the devices of a pod's claims before its sandbox is made, and gives them back when nothing of it runs.

Nothing is noted before all that is needed is there (claims, allocation, drivers): a pod that fails for want of it can
be deleted without asking a driver that never was. From then on what may be prepared is on the disk first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path

from agent import podspec
from agent.cri.errors import CriError
from agent.cri.wire import WireError
from agent.devices import state
from agent.devices.drivers import Drivers
from agent.devices.messages import ClaimRef, Outcome
from agent.devices.state import Held, Key
from agent.devices.statefile import StateFile
from agent.failures import ConfigError, DeviceError
from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.errors import ApiError, Forbidden, NotFound, Unreachable
from apimachinery.objects import Obj, name, uid
from apimachinery.pods import devices

log = logging.getLogger(__name__)


class Claims:
    """One per agent. `client` None: on a node without an API server no claim can be looked at."""

    def __init__(self, client: Client | None, file: Path, drivers: Drivers) -> None:
        self._client = client
        self._file = StateFile(file, lambda: state.dump(self._held.values()))
        self._drivers = drivers
        self._held: dict[Key, Held] = {}
        self._locks: dict[Key, tuple[asyncio.Lock, list[None]]] = {}
        """With whoever has one or waits for it."""

    def load(self) -> None:
        """What an agent before this one had prepared. Raises StateError, OSError."""
        self._held = state.load(self._file.path)

    def users(self) -> set[str]:
        """Uids of the pods that something may be prepared for."""
        return {pod for held in self._held.values() for pod in held.pods}

    async def prepare(self, pod: Obj) -> None:
        """Every claim of the pod, where it has any. Raises DeviceError."""
        wanted = [await self._wanted(pod, use) for use in _uses(pod)]
        if not wanted:
            return
        async with self._turn(held.key for held in wanted):
            for fresh in wanted:
                known = self._held.setdefault(fresh.key, fresh)
                if known.ref.uid != fresh.ref.uid:
                    raise DeviceError(
                        f"old ResourceClaim with same name {fresh.ref.name} and different UID {known.ref.uid} still "
                        "exists (previous pod force-deleted?!)"
                    )
                known.pods.add(podspec.uid(pod))
            await self._save()
            # A claim that two entries of the pod name is prepared once.
            waiting = [held for key in {each.key: None for each in wanted} if not (held := self._held[key]).prepared]
            for driver, batch in _by_driver(waiting).items():
                outcomes = await self._ask(driver, batch, "NodePrepareResources")
                for held in batch:
                    held.drivers[driver] = outcomes[held.ref.uid].devices
            for held in waiting:
                held.prepared = True
            await self._save()

    async def unprepare(self, pod_uid: str) -> None:
        """Nothing of the pod runs any more. Raises DeviceError: then it is to be asked again."""
        keys = [key for key, held in self._held.items() if pod_uid in held.pods]
        if not keys:
            return
        async with self._turn(keys):
            mine = [held for key in keys if (held := self._held.get(key)) and pod_uid in held.pods]
            last = [held for held in mine if held.pods == {pod_uid}]
            for held in last:
                # Also where one of its drivers fails: whoever comes to use it meanwhile has it prepared anew.
                held.prepared = False
            for driver, batch in _by_driver(last).items():
                await self._ask(driver, batch, "NodeUnprepareResources")
            for held in mine:
                held.pods.discard(pod_uid)
                if not held.pods:
                    del self._held[held.key]
            await self._save()

    def cdi(self, pod: Obj, container: Obj) -> tuple[str, ...]:
        """The CDI devices of a container, each once, in order. Raises ConfigError where a claim is not prepared."""
        found: dict[str, None] = {}
        for claim, request in _asked(pod, container):
            held = self._held.get((podspec.namespace(pod), claim))
            if held is None:
                raise ConfigError(f"unable to get information for ResourceClaim {claim}")
            found.update(dict.fromkeys(held.cdi(request)))
        return tuple(found)

    def held(self, pod: Obj, container: Obj) -> list[Held]:
        """The claims of a container that something is prepared of, each once."""
        asked = dict.fromkeys(claim for claim, _ in _asked(pod, container))
        found = (self._of(pod, claim) for claim in asked)
        return [held for held in found if held is not None]

    def asked(self, pod: Obj, container: Obj) -> dict[str, list[str]]:
        """What a container asks for, `CLAIM` or `CLAIM/REQUEST` by the names of its spec, with the ids of the devices
        prepared of it: as upstream the first CDI device's, or DRIVER/POOL/DEVICE, and nothing of what has none.
        """
        found: dict[str, list[str]] = {}
        for entry, claim, request in _entries(pod, container):
            if (held := self._of(pod, claim)) is None:
                continue
            ids = (one.cdi[0] if one.cdi else f"{of}/{one.pool}/{one.name}" for of, one in held.devices(request))
            if told := list(dict.fromkeys(ids)):
                found[f"{entry}/{request}" if request else entry] = told
        return found

    def _of(self, pod: Obj, claim: str) -> Held | None:
        """A claim, where it is this pod's, too."""
        held = self._held.get((podspec.namespace(pod), claim))
        return held if held is not None and podspec.uid(pod) in held.pods else None

    async def _wanted(self, pod: Obj, use: devices.Use) -> Held:
        """What the claim's allocation asks of this node. Raises DeviceError."""
        claim = await self._get(use.claim, podspec.namespace(pod))
        if use.template and (wrong := devices.not_made_for(claim, pod)):
            raise DeviceError(wrong)
        if not devices.is_reserved_for(claim, podspec.uid(pod)):
            who = f"pod {podspec.name(pod)} ({podspec.uid(pod)})"
            raise DeviceError(f"{who} is not allowed to use ResourceClaim {use.claim} ({uid(claim)})")
        allocation = (claim.get("status") or {}).get("allocation")
        if allocation is None:
            raise DeviceError(f"ResourceClaim {use.claim}: not allocated")
        results = (allocation.get("devices") or {}).get("results") or ()
        drivers = {result["driver"]: () for result in results}
        for driver in drivers:
            # Also of one that is prepared already: without its driver something is wrong with the node.
            self._drivers.get(driver)
        return Held(ClaimRef(podspec.namespace(pod), uid(claim), name(claim)), set(), {**drivers})

    async def _get(self, claim: str, namespace: str) -> Obj:
        what = f"fetch ResourceClaim {claim}"
        if self._client is None:
            raise DeviceError(f"{what}: no API server to ask")
        try:
            return await self._client.get(kinds.RESOURCE_CLAIM, claim, namespace)
        except (ApiError, Unreachable) as error:
            # The authorizer learns of a bound pod a moment after this agent does.
            missing = isinstance(error, (Forbidden, NotFound))
            raise DeviceError(f"{what}: {error}", settling=missing, awaited=missing) from error

    async def _ask(self, driver: str, batch: list[Held], method: str) -> Mapping[str, Outcome]:
        """An outcome for each claim, none of them an error. Raises DeviceError."""
        plugin = self._drivers.get(driver)
        call = plugin.prepare if method == "NodePrepareResources" else plugin.unprepare
        try:
            outcomes = await call([held.ref for held in batch])
        except (CriError, WireError) as error:
            raise DeviceError(f"{method}: {error}") from error
        names = {held.ref.uid: held.ref.name for held in batch}
        for claim_uid, outcome in outcomes.items():
            if claim_uid not in names:
                raise DeviceError(f"{method} returned result for unknown claim UID {claim_uid}")
            if outcome.error:
                raise DeviceError(f"{method} failed for ResourceClaim {names[claim_uid]}: {outcome.error}")
        if skipped := len(names.keys() - outcomes.keys()):
            raise DeviceError(f"{method} skipped {skipped} ResourceClaims")
        return outcomes

    async def _save(self) -> None:
        try:
            await self._file.write()
        except OSError as error:
            raise DeviceError(f"checkpoint ResourceClaim state: {error}") from error

    @contextlib.asynccontextmanager
    async def _turn(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """These claims are nobody else's meanwhile: one pod's last use may be another's first."""
        async with contextlib.AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                lock, users = self._locks.setdefault(key, (asyncio.Lock(), []))
                users.append(None)
                stack.callback(self._leave, key)
                await stack.enter_async_context(lock)
            yield

    def _leave(self, key: Key) -> None:
        _, users = self._locks[key]
        users.pop()
        if not users:
            del self._locks[key]


def _uses(pod: Obj) -> Iterator[devices.Use]:
    """The pod's claims that there have to be. Raises DeviceError for one that was not made yet."""
    for use in devices.uses(pod):
        if use.claim:
            yield use
        elif use.needed:
            raise DeviceError(f"pod claim {use.entry}: ResourceClaim not created yet", settling=True, awaited=True)
    if claim := devices.extended(pod):
        yield devices.Use("", claim)


def _asked(pod: Obj, container: Obj) -> Iterator[tuple[str, str]]:
    """(claim, request) for what a container asks for; a request "" is all of the claim."""
    yield from ((claim, request) for _, claim, request in _entries(pod, container))
    told = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    for mapping in told.get("requestMappings") or ():
        if mapping.get("containerName") == container["name"]:
            yield devices.extended(pod), mapping.get("requestName") or ""


def _entries(pod: Obj, container: Obj) -> Iterator[tuple[str, str, str]]:
    """The same of what its spec names, each with the name there; not of a claim that is not made yet."""
    claims = {use.entry: use.claim for use in devices.uses(pod)}
    for entry in (container.get("resources") or {}).get("claims") or ():
        if claim := claims.get(entry["name"]):
            yield entry["name"], claim, entry.get("request") or ""


def _by_driver(held: Iterable[Held]) -> dict[str, list[Held]]:
    found: dict[str, list[Held]] = {}
    for each in held:
        for driver in each.drivers:
            found.setdefault(driver, []).append(each)
    return found
