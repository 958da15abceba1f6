"""The host-local plugin: reserve, release and check addresses of one attachment."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apimachinery.kit.netlink.routes import Address
from cni import types
from cni.host import Host
from cni.hostlocal import ranges
from cni.hostlocal.ranges import Range, RangeSet
from cni.hostlocal.store import DiskStore, Note, Owner, identity
from cni.skel import Plugin, Request
from cni.types import CniError, Result

DATA_DIR = Path("/var/lib/cni/networks")


@dataclass(frozen=True)
class Config:
    sets: tuple[RangeSet, ...]
    requested: tuple[Address, ...]
    routes: tuple[Mapping[str, Any], ...]
    data_dir: Path
    resolv_conf: str


def parse_config(request: Request) -> Config:
    """CniError(7) with the key at fault."""
    ipam = request.config.get("ipam")
    if not isinstance(ipam, Mapping):
        raise CniError(types.INVALID_CONFIG, "IPAM config missing 'ipam' key")
    # What else is asked for is for the plugin that asks for addresses.
    runtime = request.section("runtimeConfig")
    sets = ranges.parse_sets(ipam, runtime.get("ipRanges") or ())
    requested = _requested(request, runtime)
    for address in requested:
        if not any(ranges.find(one, address) for one in sets):
            raise CniError(types.INVALID_CONFIG, f"requested IP {address} is in none of the ranges")
    return Config(
        sets=sets,
        requested=requested,
        routes=tuple(ipam.get("routes") or ()),
        data_dir=Path(ipam.get("dataDir") or DATA_DIR),
        resolv_conf=str(ipam.get("resolvConf") or ""),
    )


def add(request: Request, host: Host) -> Result:
    config = parse_config(request)
    store = DiskStore(config.data_dir, request.network)
    owner = Owner(request.container_id, request.ifname)
    dns = _resolv_conf(config.resolv_conf) if config.resolv_conf else {}
    with store.lock():
        before = store.note_of(owner.container_id)
        held = store.held_by(owner) if before.identity else []
        reserved: list[tuple[Address, Range]] = []
        note = replace(before, path=request.netns, identity=identity(request.netns))
        try:
            # First the namespace, by which `sweep` finds what a crash leaves; the addresses once they are known.
            store.note(owner.container_id, note)
            for number, one in enumerate(config.sets):
                reserved.append(_reserve(store, config, owner, held, number, one))
            shown = {**before.addresses, owner.ifname: tuple(str(address) for address, _ in reserved)}
            store.note(owner.container_id, replace(note, addresses=shown))
        except BaseException:
            for address, _ in reserved:
                store.release(str(address))
            _note_or_forget(store, owner.container_id, before)
            raise
    ips = [{"address": f"{a}/{r.subnet.prefixlen}", "gateway": str(r.gateway)} for a, r in reserved]
    return {"ips": ips, "routes": [dict(r) for r in config.routes], "dns": dns}


def delete(request: Request, host: Host) -> None:
    """Releases whatever the attachment holds; the ranges may have changed since."""
    ipam = request.section("ipam")
    directory = Path(ipam.get("dataDir") or DATA_DIR)
    if not (directory / request.network).is_dir():
        return
    store = DiskStore(directory, request.network)
    owner = Owner(request.container_id, request.ifname)
    with store.lock():
        for address in store.held_by(owner):
            store.release(address)
        note = store.note_of(owner.container_id)
        left = {ifname: held for ifname, held in note.addresses.items() if ifname != owner.ifname}
        # Where the addresses were not noted, another of its interfaces may hold some.
        unknown = note.identity and owner.ifname not in note.addresses
        keeps = left or (unknown and store.holds_any(owner.container_id))
        _note_or_forget(store, owner.container_id, replace(note, addresses=left) if keeps else Note())


def _note_or_forget(store: DiskStore, container_id: str, note: Note) -> None:
    if note.identity:
        store.note(container_id, note)
    else:
        store.forget_note(container_id)


def check(request: Request, host: Host) -> None:
    store = DiskStore(parse_config(request).data_dir, request.network)
    owner = Owner(request.container_id, request.ifname)
    with store.lock():
        if not store.held_by(owner):
            raise CniError(
                types.INTERNAL,
                f"host-local: Failed to find address added by container {request.container_id}",
            )


def gc(request: Request, host: Host) -> None:
    valid = request.valid_attachments()
    store = DiskStore(parse_config(request).data_dir, request.network)
    with store.lock():
        held = set()
        for address, holder in store.taken().items():
            if holder is None or (holder.container_id, holder.ifname) not in valid:
                store.release(address)
            else:
                held.add(holder.container_id)
        for container_id in store.noted() - held:
            store.forget_note(container_id)


def status(request: Request, host: Host) -> None:
    """Ready while every set has an address left."""
    config = parse_config(request)
    store = DiskStore(config.data_dir, request.network)
    with store.lock():
        taken = store.taken()
    for one in config.sets:
        if ranges.first_free(one, None, lambda a: taken.get(str(a)) is not None) is None:
            raise CniError(types.LIMITED_CONNECTIVITY, f"no IP addresses available in range set: {ranges.show(one)}")


def _reserve(
    store: DiskStore, config: Config, owner: Owner, held: Sequence[str], number: int, one: RangeSet
) -> tuple[Address, Range]:
    """`held`: what the attachment has already."""
    for own in held:
        if ranges.find(one, ipaddress.ip_address(own)):
            text = f"{own} has been allocated to {owner.container_id}, duplicate allocation is not allowed"
            raise CniError(types.INTERNAL, text)
    wanted = next((a for a in config.requested if ranges.find(one, a)), None)
    if wanted is not None:
        found = ranges.find(one, wanted)
        if found is None or wanted == found.gateway:
            raise CniError(types.INVALID_CONFIG, f"requested ip {wanted} is subnet's gateway")
        if not store.reserve(wanted, owner, number):
            raise CniError(types.INTERNAL, f"requested IP address {wanted} is not available in range set")
        return wanted, found
    for address, within in ranges.candidates(one, store.last_reserved(number)):
        if store.reserve(address, owner, number):
            return address, within
    raise CniError(types.INTERNAL, f"no IP addresses available in range set: {ranges.show(one)}")


def _requested(request: Request, runtime: Mapping[str, Any]) -> tuple[Address, ...]:
    cni_args = request.section("args", "cni")
    given: list[str] = [*(runtime.get("ips") or ()), *(cni_args.get("ips") or ())]
    if request.arguments.get("IP"):
        given += request.arguments["IP"].split(",")
    try:
        return tuple(ipaddress.ip_interface(text).ip for text in given)
    except ValueError as problem:
        raise CniError(types.INVALID_CONFIG, f"requested ips: {problem}") from None


def _resolv_conf(path: str) -> dict[str, Any]:
    """The `dns` of a result from a resolv.conf(5)."""
    dns: dict[str, Any] = {}
    for line in Path(path).read_text().splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            dns.setdefault("nameservers", []).append(words[1])
        elif words[0] == "domain":
            dns["domain"] = words[1]
        elif words[0] == "search":
            dns.setdefault("search", []).extend(words[1:])
        elif words[0] == "options":
            dns.setdefault("options", []).extend(words[1:])
    return dns


PLUGIN = Plugin("host-local", add, delete, check, gc, status, frozenset({"IP", "GATEWAY"}))
