"""Services: cluster IPs and node ports, taken with the write and given back when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, copy
from controlplane.apiserver.cache.cache import NO_OBJECT
from controlplane.apiserver.catalog.strategy import Reservation, Strategy
from controlplane.apiserver.rules.core import services as rules
from controlplane.apiserver.strategies import families
from controlplane.apiserver.strategies.pools import AddressPool, Pool, PoolFull, PortPool
from controlplane.store import Delete, Op, Put

# The pools by the names under which upstream keeps what is taken.
_ADDRESSES, _PORTS = "serviceips", "servicenodeports"
_WITH_PORTS = ("NodePort", "LoadBalancer")


def has_address(spec: Obj) -> bool:
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"


@dataclass
class _Held(Reservation):
    """Undo and done lists of one write; refused hears of claims that somebody else has."""

    refused: Callable[[str, int], None]
    undo: list[Callable[[], None]] = field(default_factory=list)
    done: list[Callable[[], None]] = field(default_factory=list)
    writes: list[Op] = field(default_factory=list)
    kept: bool = False

    def keep(self) -> None:
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
        """That of Services, which take from these pools; rules see the families that a Service will have."""

        def changed(new: Obj, old: Obj) -> None:
            plain.prepare_update(new, old)
            self._settle(new, old)

        return replace(
            plain, prepare_create=partial(self._settle, old=None), prepare_update=changed, reserve=self.reserve
        )

    def _settle(self, new: Obj, old: Obj | None) -> None:
        spec = new["spec"]
        if spec.get("type") == "ExternalName" or any(rules.addresses(spec)):
            return
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        if problems := families.settle(spec, old["spec"] if old else None, self.addresses.families):
            raise _refused(new, *problems)

    def reserve(self, new: Obj | None, old: Obj | None, dry_run: bool) -> Reservation:
        """Strategy.reserve: fills cluster IPs and node ports into new. Raises Invalid, InternalError."""
        held = _Held(self._refused)
        try:
            if new is not None:
                if self._shared is not None:
                    # What is filled in goes with what it was filled in from.
                    held.undo.append(partial(new.__setitem__, "spec", copy(new["spec"])))
                self._take_addresses(new, old, held)
                self._take_ports(new, old, held)
        except BaseException:
            held.release()
            raise
        if old is not None:
            self._leave(new, old, held)
        return held

    def _take_addresses(self, new: Obj, old: Obj | None, held: _Held) -> None:
        spec, owner = new["spec"], _owner(new)
        if not has_address(spec):
            return
        known = set(_addresses(old["spec"])) if old else set()
        taken = list(spec.get("clusterIPs") or ())
        for address in taken:
            if address not in known:
                self._take_address(new, address, owner, held)
        for family in (spec.get("ipFamilies") or ())[len(taken) :]:
            taken.append(self._next_address(family, owner, held))
        spec["clusterIP"], spec["clusterIPs"] = taken[0], taken

    def _next_address(self, family: str, owner: str, held: _Held) -> str:
        try:
            address = self.addresses.next(owner, family)
        except PoolFull as error:
            text = f"failed to allocate a serviceIP: {error}"
            raise errors.InternalError(f"Internal error occurred: {text}") from error
        self._claim(_ADDRESSES, address, owner, held)
        return address

    def _take_address(self, new: Obj, address: str, owner: str, held: _Held) -> None:
        what, listed = f"failed to allocate IP {address}: ", new["spec"]["clusterIPs"]
        if not self.addresses.contains(address):
            what += "the provided network does not match the current range"
            raise _refused(new, errors.invalid("spec.clusterIPs", listed, what))
        if not self.addresses.take(address, owner):
            what += "provided IP is already allocated"
            raise _refused(new, errors.invalid("spec.clusterIPs", listed, what))
        self._claim(_ADDRESSES, address, owner, held)

    def _take_ports(self, new: Obj, old: Obj | None, held: _Held) -> None:
        spec, owner = new["spec"], _owner(new)
        if spec.get("type") not in _WITH_PORTS:
            return
        if spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
            wanted = [port for port in spec.get("ports") or () if port.get("nodePort")]
        else:
            wanted = list(spec.get("ports") or ())
        known = set(_ports(old["spec"])) if old else set()
        for port in wanted:
            if port.get("nodePort"):
                self._take_port(new, port, known, owner, held)
        shared: dict[int, int] = {}
        for port in wanted:
            if not port.get("nodePort"):
                self._choose_port(port, shared, owner, held)
        if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            self._health_port(new, old, known, owner, held)

    def _take_port(self, new: Obj, port: Obj, known: set[tuple[int, str]], owner: str, held: _Held) -> None:
        key = (port["nodePort"], port.get("protocol", "TCP"))
        if key in known:
            return
        index = new["spec"]["ports"].index(port)
        where = f"spec.ports[{index}].nodePort"
        if not self.ports.contains(key[0]):
            span = f"{self.ports.low}-{self.ports.high}"
            text = f"provided port is not in the valid range. The range of valid ports is {span}"
            raise _refused(new, errors.invalid(where, key[0], text))
        if self.ports.owner(key) is not None:
            raise _refused(new, errors.invalid(where, key[0], "provided port is already allocated"))
        self.ports.take(key, owner)
        self._claim(_PORTS, key, owner, held)

    def _choose_port(self, port: Obj, shared: dict[int, int], owner: str, held: _Held) -> None:
        """The same service port under two protocols gets the same node port."""
        protocol = port.get("protocol", "TCP")
        number = shared.get(port["port"])
        if number is None or not self.ports.take((number, protocol), owner):
            try:
                number = self.ports.next((protocol,), owner)
            except PoolFull as error:
                raise errors.InternalError(f"failed to allocate a nodePort: {error}") from error
            shared[port["port"]] = number
        self._claim(_PORTS, (number, protocol), owner, held)
        port["nodePort"] = number

    def _health_port(self, new: Obj, old: Obj | None, known: set[Any], owner: str, held: _Held) -> None:
        spec = new["spec"]
        if spec.get("healthCheckNodePort"):
            key = (spec["healthCheckNodePort"], "TCP")
            if key not in known and not self.ports.take(key, owner):
                text = "provided port is already allocated"
                raise _refused(new, errors.invalid("spec.healthCheckNodePort", key[0], text))
        else:
            spec["healthCheckNodePort"] = self.ports.next(("TCP",), owner)
        taken = (spec["healthCheckNodePort"], "TCP")
        if taken not in known:
            self._claim(_PORTS, taken, owner, held)

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
    return f"{NO_OBJECT}ranges/{pool}/{item if pool == _ADDRESSES else '-'.join(map(str, item))}"


def _holds(service: Obj) -> Iterator[tuple[str, Any]]:
    """What a Service has: the pool and the item of each."""
    for address in _addresses(service["spec"]):
        yield _ADDRESSES, address
    for port in _ports(service["spec"]):
        yield _PORTS, port


def _refused(service: Obj, *problems: FieldError) -> errors.ApiError:
    return errors.invalid_object("Service", service["metadata"]["name"], problems)


def _owner(service: Obj) -> str:
    return f"{service['metadata'].get('namespace')}/{service['metadata']['name']}"


def _addresses(spec: Obj) -> list[str]:
    if not has_address(spec):
        return []
    return [address for address in spec.get("clusterIPs") or () if address not in ("", "None")]


def _ports(spec: Obj) -> list[tuple[int, str]]:
    found = [(p["nodePort"], p.get("protocol", "TCP")) for p in spec.get("ports") or () if p.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append((spec["healthCheckNodePort"], "TCP"))
    return found


def prepare_update(new: Obj, old: Obj) -> None:
    """What a client that read an object in one type and writes another need not clear itself."""
    spec, was = new["spec"], old["spec"]
    if spec.get("type") == "ExternalName":
        if was.get("type") != "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                if spec.get(name) == was.get(name):
                    spec.pop(name, None)
            _drop_node_ports(spec)
        return
    if was.get("type") != "ExternalName" and not spec.get("clusterIP") and was.get("clusterIP"):
        if spec.get("clusterIPs") in (None, was.get("clusterIPs")):
            spec["clusterIP"], spec["clusterIPs"] = was["clusterIP"], list(was.get("clusterIPs") or ())
    elif spec.get("clusterIP") and not spec.get("clusterIPs"):
        same = spec["clusterIP"] == was.get("clusterIP")
        spec["clusterIPs"] = list(was["clusterIPs"]) if same and was.get("clusterIPs") else [spec["clusterIP"]]
    elif spec.get("clusterIP") != was.get("clusterIP") and spec.get("clusterIPs") == was.get("clusterIPs"):
        # Only the older of the two fields was changed: the newer follows.
        spec["clusterIPs"] = [spec["clusterIP"]] if spec.get("clusterIP") else []
    for name in ("ipFamilies", "ipFamilyPolicy"):
        if name not in spec and name in was:
            spec[name] = was[name]
    _keep_node_ports(spec, was)


def _drop_node_ports(spec: Obj) -> None:
    for port in spec.get("ports") or ():
        port.pop("nodePort", None)


def _keep_node_ports(spec: Obj, was: Obj) -> None:
    if spec.get("type") not in _WITH_PORTS:
        if was.get("type") in _WITH_PORTS:
            _drop_node_ports(spec)
            spec.pop("externalTrafficPolicy", None)
            spec.pop("healthCheckNodePort", None)
            spec.pop("allocateLoadBalancerNodePorts", None)
        return
    standing = {(p.get("port"), p.get("protocol", "TCP")): p.get("nodePort") for p in was.get("ports") or ()}
    used = {p.get("nodePort") for p in spec.get("ports") or () if p.get("nodePort")}
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            kept = standing.get((port.get("port"), port.get("protocol", "TCP")))
            if kept and kept not in used:
                port["nodePort"] = kept
    if was.get("healthCheckNodePort") and spec.get("externalTrafficPolicy") == "Local":
        spec.setdefault("healthCheckNodePort", was["healthCheckNodePort"])
