"""Services: cluster IPs and node ports, taken with the write and given back when it fails."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, copy
from controlplane.apiserver.cache.cache import NO_OBJECT
from controlplane.apiserver.catalog.strategy import Reservation, Strategy
from controlplane.apiserver.strategies import families, servicefields
from controlplane.apiserver.strategies.pools import AddressPool, Pool, PoolFull, PortPool
from controlplane.store import Delete, Op, Put

# The pools by the names under which upstream keeps what is taken.
_ADDRESSES, _PORTS = "serviceips", "servicenodeports"
# The first node port that a dry run shows is the next.
_NONE_SHOWN = 32768


@dataclass
class _Held(Reservation):
    """Undo and done lists of one write; refused hears of claims that somebody else has."""

    refused: Callable[[str, int], None]
    undo: list[Callable[[], None]] = field(default_factory=list)
    done: list[Callable[[], None]] = field(default_factory=list)
    writes: list[Op] = field(default_factory=list)
    kept: bool = False

    def keep(self, revision: int) -> None:
        self.kept = True
        for step in self.done:
            step()

    def release(self) -> None:
        if self.kept:
            return
        for step in self.undo:
            step()
        self.undo.clear()

    def lost(self, key: str, current: int) -> None:
        if any(write.key == key for write in self.writes):
            # First what this write took: then whoever has it by now can be written down.
            self.release()
            self.refused(key, current)


# The label of an IPAddress that shows a cluster IP, and not a claim of somebody else's.
MANAGED_BY, OURS = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"


class ServicePools:
    """The pools behind all Services of the cluster.

    Where several servers share the store, memory alone cannot say what is free: then each address and port has a key
    there, which is written and removed in the transaction of the Service that has it.
    """

    def __init__(self, cidrs: str, ports: str, shared: Callable[[], Iterable[Obj]] | None = None) -> None:
        """cidrs: a range, or one of each family separated by a comma, the cluster's own first. shared: every Service
        there is, where other servers make some, too."""
        self.addresses = AddressPool(cidrs)
        self.ports = PortPool(ports)
        self._shared = shared
        # Claims that no Service stands behind, and at which revision: what was left may be taken over.
        self._left: dict[str, int] = {}

    @property
    def first_address(self) -> str:
        """The cluster IP of the Service `kubernetes`."""
        return str(self.addresses.network[1])

    def range_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A ServiceCIDR that is ready and not on its way out gives addresses, too."""
        obj: Obj = new or old or {}
        conditions = (obj.get("status") or {}).get("conditions") or ()
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
        usable = new is not None and ready and not obj["metadata"].get("deletionTimestamp")
        self.addresses.set_range(obj["metadata"]["name"], obj["spec"].get("cidrs") or () if usable else ())

    def address_changed(self, old: Obj | None, new: Obj | None) -> None:
        """What somebody has claimed by an IPAddress of his own is nobody's cluster IP."""
        metadata = (new or old or {})["metadata"]
        if (metadata.get("labels") or {}).get(MANAGED_BY) == OURS:
            return
        owner = f"ipaddress/{metadata['name']}"
        if new is not None:
            self.addresses.take(metadata["name"], owner)
        else:
            self.addresses.give_back(metadata["name"], owner)

    def service_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Take what a stored Service holds, whoever wrote it, and give back what it held."""
        still = set(_holds(new)) if new is not None else set()
        if old is not None:
            for pool, item in set(_holds(old)) - still:
                self._pool(pool).give_back(item, _owner(old))
        if new is not None:
            for pool, item in still:
                self._pool(pool).take(item, _owner(new))

    def _pool(self, name: str) -> Pool[Any]:
        return self.addresses if name == _ADDRESSES else self.ports

    def _claim(self, pool: str, item: Any, owner: str, held: _Held) -> None:
        """It was taken for a write: have that write claim it."""
        held.undo.append(lambda: self._pool(pool).give_back(item, owner))
        if self._shared is not None:
            key = claim(pool, item)
            held.writes.append(Put(key, owner.encode(), self._left.pop(key, 0)))

    def _refused(self, key: str, current: int) -> None:
        """Somebody has claimed it. Where no Service stands behind that, it was left by what is gone."""
        assert self._shared is not None
        there: set[str] = set()
        for service in self._shared():
            self.service_changed(None, service)
            there.update(claim(pool, item) for pool, item in _holds(service))
        if key not in there:
            self._left[key] = current

    def strategy(self, plain: Strategy) -> Strategy:
        """That of Services, which take from these pools. As upstream, what cannot be given is told before anything
        else that is wrong."""

        def made(dry_run: bool) -> Strategy:
            create, update = partial(self._prepare_create, dry_run), partial(self._prepare_update, dry_run)
            return replace(plain, prepare_create=create, prepare_update=update, reserve=self.reserve)

        return replace(made(dry_run=False), trial=made(dry_run=True))

    def _prepare_create(self, dry_run: bool, new: Obj) -> None:
        servicefields.fill_new(new["spec"])
        self._settle(new, None, dry_run)
        servicefields.drop_unread(new["spec"])

    def _prepare_update(self, dry_run: bool, new: Obj, old: Obj) -> None:
        spec, was = new["spec"], old["spec"]
        servicefields.fill_changed(spec, was)
        self._settle(new, old, dry_run)
        servicefields.drop(spec, was)
        servicefields.drop_unread(spec)
        if spec.get("type") != "LoadBalancer" and (new.get("status") or {}).get("loadBalancer"):
            new["status"] = {**new["status"], "loadBalancer": {}}

    def _settle(self, new: Obj, old: Obj | None, dry_run: bool) -> None:
        """Decide on families, and see that what is asked for by name can be had."""
        spec, was = new["spec"], old["spec"] if old else None
        if spec.get("type") != "ExternalName":
            problems = families.settle(spec, was, self.addresses.families)
            if problems:
                raise _refused(new, *problems)
        for address in servicefields.asked_addresses(spec, was):
            self._check_address(new, address, dry_run)
        self._check_ports(new, was, dry_run)

    def _check_ports(self, new: Obj, was: Obj | None, dry_run: bool) -> None:
        asked: set[int] = set()

        def take(index: int, number: int) -> None:
            self._check_port(new, index, number, dry_run, asked)
            asked.add(number)

        # What is free is chosen when the write is sure; here any number will do that nobody asks for.
        nobodys = count(-1, -1)
        trial = {**new["spec"], "ports": [dict(port) for port in new["spec"].get("ports") or ()]}
        servicefields.give_ports(trial, was, take, lambda: next(nobodys))
        if _begins_to_be_checked(new["spec"], was):
            self._check_health_port(new["spec"].get("healthCheckNodePort") or 0, dry_run, asked)

    def reserve(self, new: Obj | None, old: Obj | None, dry_run: bool) -> Reservation:
        """Strategy.reserve: fills cluster IPs and node ports into new. Raises Invalid, InternalError."""
        held = _Held(self._refused)
        try:
            if new is not None:
                if self._shared is not None:
                    # What is filled in goes with what it was filled in from.
                    held.undo.append(partial(new.__setitem__, "spec", copy(new["spec"])))
                was = old["spec"] if old else None
                self._take_addresses(new, was, held, dry_run)
                self._take_ports(new, was, held, dry_run)
        except BaseException:
            held.release()
            raise
        if old is not None:
            self._leave(new, old, held)
        return held

    def _take_addresses(self, new: Obj, was: Obj | None, held: _Held, dry_run: bool) -> None:
        spec, owner = new["spec"], _owner(new)
        if not servicefields.has_address(spec):
            return
        for address in servicefields.asked_addresses(spec, was):
            self._check_address(new, address, dry_run)
            if not dry_run:
                self.addresses.take(address, owner)
                self._claim(_ADDRESSES, address, owner, held)
        taken = list(spec.get("clusterIPs") or ())
        for family in (spec.get("ipFamilies") or ())[len(taken) :]:
            taken.append(self._next_address(new, family, owner, held, dry_run))
        spec["clusterIP"], spec["clusterIPs"] = taken[0], taken

    def _next_address(self, new: Obj, family: str, owner: str, held: _Held, dry_run: bool) -> str:
        try:
            if dry_run:
                return self.addresses.shown(family)
            address = self.addresses.next(owner, family)
        except PoolFull as error:
            text = f"failed to allocate a serviceIP for Service {errors.quoted(new['metadata']['name'])}: {error}"
            raise _failed(text) from error
        self._claim(_ADDRESSES, address, owner, held)
        return address

    def _check_address(self, new: Obj, address: str, dry_run: bool) -> None:
        """A dry run asks, as upstream's, only whether there is such an address. Raises Invalid."""
        if not self.addresses.contains(address):
            why = "the provided network does not match the current range"
            if dry_run:
                span = self.addresses.network_like(address)
                why = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {span}"
        elif self.addresses.owner(address) is not None and not dry_run:
            why = "provided IP is already allocated"
        else:
            return
        listed = list(new["spec"]["clusterIPs"])
        listed += [""] * (len(new["spec"].get("ipFamilies") or ()) - len(listed))
        raise _refused(new, errors.invalid("spec.clusterIPs", listed, f"failed to allocate IP {address}: {why}"))

    def _take_ports(self, new: Obj, was: Obj | None, held: _Held, dry_run: bool) -> None:
        spec, owner = new["spec"], _owner(new)
        # Upstream may draw one of these for another port, and then refuses the Service as if it were somebody else's.
        named = frozenset(_ports(spec))
        shown: list[int] = []

        def have(number: int) -> int:
            if dry_run:
                shown.append(number)
                return number
            self.ports.take(number, owner)
            self._claim(_PORTS, number, owner, held)
            return number

        def free(what: str) -> int:
            # A dry run draws none: it counts on from the highest that it has, as upstream's does.
            return have(max(shown, default=_NONE_SHOWN) + 1 if dry_run else self._free_port(what, named))

        def take(index: int, number: int) -> None:
            self._check_port(new, index, number, dry_run)
            have(number)

        servicefields.give_ports(spec, was, take, lambda: free("a nodePort"))
        if not _begins_to_be_checked(spec, was):
            return
        if number := spec.get("healthCheckNodePort"):
            self._check_health_port(number, dry_run)
            have(number)
        else:
            spec["healthCheckNodePort"] = free("a HealthCheck NodePort 0")

    def _free_port(self, what: str, named: Container[int]) -> int:
        try:
            return self.ports.free(named)
        except PoolFull as error:
            raise _failed(f"failed to allocate {what}: {error}") from error

    def _trouble(self, number: int, dry_run: bool, asked: Container[int]) -> str:
        """Why a node port cannot be had; "" when it can. A dry run asks, as upstream's, only whether it is taken."""
        if not dry_run and not self.ports.contains(number):
            span = f"{self.ports.low}-{self.ports.high}"
            return f"provided port is not in the valid range. The range of valid ports is {span}"
        if number in asked or self.ports.owner(number) is not None:
            return "provided port is already allocated"
        return ""

    def _check_port(self, new: Obj, index: int, number: int, dry_run: bool, asked: Container[int] = ()) -> None:
        """Raises Invalid."""
        if why := self._trouble(number, dry_run, asked):
            raise _refused(new, errors.invalid(f"spec.ports[{index}].nodePort", number, why))

    def _check_health_port(self, number: int, dry_run: bool, asked: Container[int] = ()) -> None:
        """Raises InternalError, as upstream does."""
        if number and (why := self._trouble(number, dry_run, asked)):
            raise _failed(f"failed to allocate requested HealthCheck NodePort {number}: {why}")

    def _leave(self, new: Obj | None, old: Obj, held: _Held) -> None:
        """What the old object holds and the new one does not goes back once the write is done."""
        owner = _owner(old)
        still = set(_holds(new)) if new is not None else set()
        for pool, item in set(_holds(old)) - still:
            held.done.append(partial(self._pool(pool).give_back, item, owner))
            if self._shared is not None:
                held.writes.append(Delete(claim(pool, item), lenient=True))


def claim(pool: str, item: Any) -> str:
    """The store's key that says who has an address or a port."""
    return f"{NO_OBJECT}ranges/{pool}/{item}"


def _holds(service: Obj) -> Iterator[tuple[str, Any]]:
    """What a Service has: the pool and the item of each."""
    for address in _addresses(service["spec"]):
        yield _ADDRESSES, address
    for port in _ports(service["spec"]):
        yield _PORTS, port


def _begins_to_be_checked(spec: Obj, was: Obj | None) -> bool:
    return servicefields.is_checked(spec) and (was is None or not servicefields.is_checked(was))


def _failed(text: str) -> errors.ApiError:
    return errors.InternalError(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})


def _refused(service: Obj, *problems: FieldError) -> errors.ApiError:
    return errors.invalid_object("Service", service["metadata"].get("name") or "", problems)


def _owner(service: Obj) -> str:
    return f"{service['metadata'].get('namespace')}/{service['metadata']['name']}"


def _addresses(spec: Obj) -> list[str]:
    if not servicefields.has_address(spec):
        return []
    return [address for address in spec.get("clusterIPs") or () if address not in ("", "None")]


def _ports(spec: Obj) -> list[int]:
    found = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    return [*found, spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else found
