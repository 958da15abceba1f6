"""The bridge plugin's commands: ask for addresses, make the links, undo everything when a step fails.

pod netns          node netns
eth0 ===veth=== vethHASH --- bridge (gateway address, forwarding on) --- routes to other nodes
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Link, Netlink, NetlinkError, links, routes
from cni import ipam, types
from cni.bridge import config as settings
from cni.bridge import masquerade, plan, vlan
from cni.bridge.config import Config
from cni.bridge.plan import Attachment
from cni.host import Host, be_no_host, set_aside
from cni.host import retire as retire_link
from cni.skel import Plugin, Request
from cni.types import CniError, Result

# Duplicate detection takes the kernel one to two seconds.
SETTLE_SECONDS = 5.0
# As long as the reference plugin waits for a port.
CARRIER_SECONDS = 2.5


def add(request: Request, host: Host) -> Result:
    config = settings.parse(request)
    near = plan.host_name(request.network, request.container_id, request.ifname)
    given = ipam.add(request, host)
    try:
        if ipam.kind(request) and not given["ips"]:
            raise CniError(types.INVALID_CONFIG, "IPAM plugin returned missing IP config")
        what = plan.attachment(config, near, request.ifname, given)
        with _pod(request.netns) as (descriptor, pod):
            bridge = ensure_bridge(host.kernel, config, what)
            return _attach(request, host, config, what, bridge, descriptor, pod)
    except BaseException:
        with contextlib.suppress(Exception):
            ipam.delete(request, host)
        raise


def delete(request: Request, host: Host) -> None:
    """Nothing that is missing is an error. The address is released only when the link is out of service."""
    near = plan.host_name(request.network, request.container_id, request.ifname)
    retire(host, near, request.netns, request.ifname)
    if request.config.get("ipMasq"):
        masquerade.remove(_key(request), _held(request))
    else:
        masquerade.remove_left(_key(request))
    ipam.delete(request, host)


def check(request: Request, host: Host) -> None:
    config = settings.parse(request)
    ipam.check(request, host)
    previous = request.previous or {}
    near = plan.host_name(request.network, request.container_id, request.ifname)
    bridge, veth = host.kernel.link(config.bridge), host.kernel.link(near)
    if bridge is None or bridge.kind != "bridge":
        raise CniError(types.INTERNAL, f"bridge {config.bridge} not found")
    if config.promiscuous and not bridge.flags & links.IFF_PROMISC:
        raise CniError(types.INTERNAL, f"{config.bridge} is not promiscuous any more")
    if veth is None or veth.master != bridge.index:
        raise CniError(types.INTERNAL, f"{near} is not a port of {config.bridge}")
    if veth.hairpin != config.hairpin:
        raise CniError(types.INTERNAL, f"{near}: hairpin mode is {veth.hairpin}, not {config.hairpin}")
    if config.guarded and not veth.locked:
        raise CniError(types.INTERNAL, f"{near}: frames under other MACs are not dropped any more")
    if config.vlans:
        vlan.check(host.kernel, veth, config.vlans)
    with Netlink(Path(request.netns)) as pod:
        _check_pod(config, request.ifname, previous, pod)
    if config.masquerade:
        masquerade.check(config.masquerade_by, map(ipaddress.ip_interface, _held(request)), _key(request))


def gc(request: Request, host: Host) -> None:
    config = settings.parse(request)
    valid = {plan.host_name(request.network, c, i) for c, i in request.valid_attachments()}
    ours = f"cni {request.network} "
    bridge = host.kernel.link(config.bridge)
    for link in host.kernel.links():
        if bridge and link.master == bridge.index and link.alias.startswith(ours) and link.name not in valid:
            retire(host, link.name, "", "")
    masquerade.keep_only(request.network, request.valid_attachments(), config.masquerade)
    ipam.gc(request, host)


def status(request: Request, host: Host) -> None:
    config = settings.parse(request)
    if config.masquerade:
        masquerade.require(config.masquerade_by)
    ipam.status(request, host)


def _key(request: Request) -> masquerade.Key:
    return request.network, request.container_id, request.ifname


def _held(request: Request) -> list[str]:
    """The addresses that the runtime remembers of this attachment."""
    return [ip["address"] for ip in (request.previous or {}).get("ips") or ()]


def ensure_bridge(kernel: Netlink, config: Config, what: Attachment) -> Link:
    """The bridge, up, with the gateway addresses and forwarding on. Safe when several make it at once."""
    bridge = kernel.link(config.bridge)
    if bridge is None:
        # A MAC of its own keeps the bridge from taking over, and changing with, the lowest one of its ports. One that
        # follows from the gateway's address stays the same when the bridge is made anew under living pods.
        own = what.gateways and not config.vlans.number
        mac = plan.derived_mac(what.gateways, "") if own else "0a:5a:" + os.urandom(4).hex(":")
        end = End(config.bridge, mac=mac, mtu=config.mtu)
        kernel.do(replace(links.add_bridge(end), ignore=(errno.EEXIST,)))
        be_no_host(config.bridge)
        bridge = kernel.link(config.bridge)
    if bridge is None or bridge.kind != "bridge":
        raise CniError(types.INTERNAL, f"{config.bridge} already exists but is not a bridge")
    if not bridge.up or (config.promiscuous and not bridge.flags & links.IFF_PROMISC):
        kernel.do(links.change(bridge.index, up=True, promiscuous=config.promiscuous or None))
    if config.vlans:
        bridge = vlan.filtering(kernel, bridge)
    if what.gateways and not config.vlans.number:
        _ensure_addresses(kernel, config, bridge, what)
    return bridge


def retire(host: Host, near: str, namespace: str, ifname: str) -> bool:
    """Take an attachment out of service at once: down, out of the bridge, both names free. False: there was
    none.
    """
    veth = host.kernel.link(near)
    if veth is None:
        return False
    gone = ""
    with contextlib.suppress(NetlinkError):
        gone = retire_link(host.kernel, veth.index)
    if namespace and gone:
        with contextlib.suppress(OSError), Netlink(Path(namespace)) as pod:
            inner = pod.link(ifname)
            if inner and inner.index == veth.peer:
                set_aside(pod, inner.index, gone)
    host.free_retired()
    return True


@contextlib.contextmanager
def _pod(path: str) -> Iterator[tuple[int, Netlink]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CniError(types.UNKNOWN_CONTAINER, f"no network namespace at {path}") from None
    try:
        with Netlink(descriptor) as pod:
            yield descriptor, pod
    finally:
        os.close(descriptor)


def _attach(
    request: Request,
    host: Host,
    config: Config,
    what: Attachment,
    bridge: Link,
    descriptor: int,
    pod: Netlink,
) -> Result:
    mac = "0a:5b:" + os.urandom(4).hex(":")
    named = plan.alias(request.network, request.container_id, request.ifname)
    near = End(what.host_name, mac=mac, mtu=config.mtu, master=bridge.index)
    _add_veth(host.kernel, near, End(what.ifname, mac=what.mac, mtu=config.mtu, namespace=descriptor), request.netns)
    try:
        isolated = config.isolated or None
        host.kernel.do(links.set_port(what.host_name, hairpin=config.hairpin, isolated=isolated, alias=named))
        if config.vlans:
            vlan.join(host.kernel, bridge, what.host_name, config.vlans)
        if config.guarded:
            _guard(host.kernel, what)
        shown = _vlan_gateway(host.kernel, config, bridge, what)
        mtu = _dress(request.netns, config, what, pod)
        if not config.left_down:
            _wait_for(host.kernel, what.host_name)
        if config.masquerade:
            masquerade.add(config.masquerade_by, what.addresses, _key(request))
    except BaseException:
        retire(host, what.host_name, request.netns, what.ifname)
        if config.masquerade:
            with contextlib.suppress(CniError):
                masquerade.remove(_key(request), [str(address) for address in what.addresses])
        raise
    return plan.result(
        {"name": config.bridge, "mac": bridge.mac, "mtu": bridge.mtu},
        {"name": what.host_name, "mac": mac, "mtu": mtu},
        {"name": what.ifname, "mac": what.mac, "mtu": mtu, "sandbox": request.netns},
        what,
        shown,
    )


def _vlan_gateway(kernel: Netlink, config: Config, bridge: Link, what: Attachment) -> list[dict[str, Any]]:
    """The gateway's addresses on a link in the pod's VLAN, where it has one; the link as the result shows it."""
    if not what.gateways or not config.vlans.number:
        return []
    link = vlan.gateway(kernel, bridge, plan.derived_mac(what.gateways, ""), config.vlans)
    _ensure_addresses(kernel, config, link, what)
    return [{"name": link.name, "mac": link.mac, "mtu": link.mtu}]


def _add_veth(kernel: Netlink, near: End, far: End, path: str) -> None:
    try:
        kernel.do(links.add_veth(near, far))
    except NetlinkError as refused:
        if refused.errno != errno.EEXIST:
            raise
        # Either is somebody's, and stays.
        where = "on the node" if kernel.link(near.name) else f"in {path}"
        name = near.name if kernel.link(near.name) else f"container veth name ({far.name})"
        raise CniError(types.INTERNAL, f"{name} already exists {where}") from None


def _guard(kernel: Netlink, what: Attachment) -> None:
    """The bridge itself drops what the pod sends under another MAC; nothing of that outlives the link."""
    index = kernel.index(what.host_name)
    kernel.do(routes.set_station(index, what.mac), links.set_port(index, locked=True))
    near = kernel.link(index)
    if near is None or not near.locked:
        raise CniError(types.UNSUPPORTED_FIELD, "macspoofchk: this kernel's bridge cannot lock ports; Linux 5.18 can")


def _dress(path: str, config: Config, what: Attachment, pod: Netlink) -> int:
    """Addresses and routes inside the pod; returns the interface's MTU."""
    link = pod.link(what.ifname)
    if link is None:
        raise CniError(types.INTERNAL, f"{what.ifname} vanished from {path}")
    if config.left_down:
        return link.mtu
    if any(a.version == 6 for a in what.addresses):
        netns.call(path, functools.partial(_allow_ipv6, what.ifname))
    asked = [links.change(link.index, up=True)]
    asked += [routes.add_address(link.index, a, duplicate_detection=config.dad) for a in what.addresses]
    pod.do(*asked)
    if config.dad:
        _settle(pod, link)
    pod.do(*(routes.add_route(replace(r, link=link.index), exists_ok=True) for r in what.routes))
    return link.mtu


def _wait_for(kernel: Netlink, name: str) -> None:
    """Until the node's end carries packets: the kernel takes note of the pod's end coming up a moment later, by itself
    or, since Linux 6.8, when it is asked for the link, and until then drops what comes for the pod or from it. (That it
    is running says less: so is a link just made, of whose carrier the kernel has not taken note at all.)
    """
    deadline = time.monotonic() + CARRIER_SECONDS
    while (link := kernel.link(name)) is None or link.state != links.IF_OPER_UP:
        if link is None or time.monotonic() > deadline:
            raise CniError(types.INTERNAL, f"bridge port {name} does not come up")
        time.sleep(0.001)


def _allow_ipv6(ifname: str) -> None:
    """In the pod: IPv6 on its interfaces, and addresses that outlive the link's being down, as IPv4's do."""
    own = ifname.replace(".", "/")
    for setting, value in (("lo.disable_ipv6", 0), (f"{own}.disable_ipv6", 0), (f"{own}.keep_addr_on_down", 1)):
        netns.write_sysctl(None, f"net.ipv6.conf.{setting}", value)


def _settle(pod: Netlink, link: Link) -> None:
    """Wait until duplicate detection is through: before, an address can neither be used nor bound to."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        present = pod.addresses(link.index)
        if twice := [str(a.interface) for a in present if a.flags & routes.IFA_F_DADFAILED]:
            raise CniError(types.INTERNAL, f"somebody else on the bridge has {', '.join(twice)} already")
        if not any(a.flags & routes.IFA_F_TENTATIVE for a in present):
            return
        if time.monotonic() > deadline:
            text = f"{link.name}: IPv6 addresses are still tentative after {SETTLE_SECONDS:.0f} s"
            raise CniError(types.TRY_AGAIN_LATER, text)
        time.sleep(0.02)  # nothing tells of it but another listing


def _ensure_addresses(kernel: Netlink, config: Config, link: Link, what: Attachment) -> None:
    present = [a.interface for a in kernel.addresses(link.index)]
    for wanted in what.gateways:
        if wanted not in present:
            if wanted.version == 6:
                netns.write_sysctl(None, f"net.ipv6.conf.{link.name.replace('.', '/')}.disable_ipv6", 0)
            for other in plan.conflicting(wanted, present):
                if not config.force_address:
                    raise CniError(
                        types.INTERNAL,
                        f'"{link.name}" already has an IP address different from {wanted}',
                    )
                kernel.do(routes.delete_address(link.index, other))
            kernel.do(routes.add_address(link.index, wanted))
        forwarding = "net.ipv4.ip_forward" if wanted.version == 4 else "net.ipv6.conf.all.forwarding"
        netns.write_sysctl(None, forwarding, 1)


def _check_pod(config: Config, ifname: str, previous: dict[str, Any], pod: Netlink) -> None:
    link = pod.link(ifname)
    expected = next((i for i in previous["interfaces"] if i.get("name") == ifname and i.get("sandbox")), None)
    if link is None or not (link.up or config.left_down):
        raise CniError(types.INTERNAL, f"{ifname} is missing or down in the container")
    if expected and expected.get("mac") and expected["mac"] != link.mac:
        raise CniError(types.INTERNAL, f"{ifname} has MAC {link.mac}, not {expected['mac']}")
    present = {a.interface for a in pod.addresses(link.index)}
    for ip in previous["ips"]:
        if ipaddress.ip_interface(ip["address"]) not in present:
            raise CniError(types.INTERNAL, f"{ifname} lost its address {ip['address']}")
    found = {(r.destination, r.table) for r in pod.dump(routes.dump_routes(), routes.parse_route) if r}
    for route in previous["routes"]:
        destination = ipaddress.ip_network(route["dst"], strict=False)
        # Results before 1.1 do not say in which table a route lies.
        tables = {table for where, table in found if where == destination}
        if not tables or route.get("table", next(iter(tables))) not in tables:
            raise CniError(types.INTERNAL, f"the container lost its route to {route['dst']}")


# An address and a gateway are for the plugin that hands out addresses.
PLUGIN = Plugin("bridge", add, delete, check, gc, status, frozenset({"MAC", "IP", "GATEWAY"}))
