"""The bandwidth plugin's commands. It is chained: its result is the one before it, with its ifb link added."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

from apimachinery.kit.netlink import End, Link, Netlink, NetlinkError, links, tc
from cni import types
from cni.bandwidth import config
from cni.bandwidth.config import Bounds
from cni.host import RETIRED_GROUP, Host
from cni.skel import Plugin, Request
from cni.types import CniError, Result

_ALIAS = "cni-bandwidth"


def ifb_name(network: str, container_id: str, ifname: str) -> str:
    """Found again without a record; the reference plugin's prefix."""
    digest = hashlib.blake2b(f"{network}/{container_id}/{ifname}".encode(), digest_size=6).hexdigest()
    return f"bwp{digest}"


def add(request: Request, host: Host) -> Result:
    bounds, previous = config.parse(request), request.previous
    if previous is None:
        raise CniError(types.INVALID_CONFIG, "bandwidth must be chained after another plugin: no prevResult")
    if bounds == Bounds(None, None):
        return previous
    veth = _veth(host.kernel, previous)
    try:
        if bounds.ingress is not None:
            host.kernel.do(tc.shape(veth.index, bounds.ingress))
        if bounds.egress is None:
            return previous
        ifb = _lead_through(request, host.kernel, veth, bounds.egress)
    except NetlinkError as refused:
        delete(request, host)
        hint = "the kernel needs sch_tbf, sch_ingress, cls_u32, act_mirred and ifb"
        raise CniError(types.IO_FAILURE, f"bandwidth cannot be bounded here: {refused}", hint) from None
    return {**previous, "interfaces": [*previous["interfaces"], {"name": ifb.name, "mac": ifb.mac}]}


def delete(request: Request, host: Host) -> None:
    """The queues of the pod's link go with it. The ifb is freed together with other pods' links: alone it costs the
    kernel 16 ms. Until then it serves the link, which the plugin before this one takes away next."""
    _retire(host, [ifb_name(request.network, request.container_id, request.ifname)])


def check(request: Request, host: Host) -> None:
    bounds = config.parse(request)
    if bounds == Bounds(None, None):
        return
    queues = host.kernel.dump(tc.dump(), tc.parse)
    veth = _veth(host.kernel, request.previous or {})
    wanted = [(veth.index, veth.name, bounds.ingress)]
    if bounds.egress is not None:
        name = ifb_name(request.network, request.container_id, request.ifname)
        ifb = host.kernel.link(name)
        if ifb is None:
            raise CniError(types.INTERNAL, f"{name}, through which the pod sends, is missing")
        wanted.append((ifb.index, name, bounds.egress))
        if (veth.index, "ingress", None) not in queues:
            raise CniError(types.INTERNAL, f"what the pod sends is not led through {name}")
    for index, name, bucket in wanted:
        rates = {(found.rate, found.limit) for link, _, found in queues if link == index and found}
        if bucket is not None and (bucket.rate, bucket.limit) not in rates:
            raise CniError(types.INTERNAL, f"{name} is not bound to {bucket.rate} bytes a second")


def gc(request: Request, host: Host) -> None:
    valid = {ifb_name(request.network, c, i) for c, i in request.valid_attachments()}
    ours = f"{_ALIAS} {request.network} "
    found = (link for link in host.kernel.links() if link.kind == "ifb" and link.alias.startswith(ours))
    _retire(host, [link.name for link in found if link.name not in valid and link.group != RETIRED_GROUP])


def status(request: Request, host: Host) -> None:
    """What the kernel lacks is told to the pods that want it: others can be served all the same."""
    config.parse(request)


def _retire(host: Host, names: list[str]) -> None:
    """Mark what there is of these to be freed."""
    marked = 0
    for name in names:
        with contextlib.suppress(NetlinkError):
            host.kernel.do(links.change(name, group=RETIRED_GROUP))
            marked += 1
    if marked:
        host.free_retired()


def _lead_through(request: Request, kernel: Netlink, veth: Link, bucket: tc.Bucket) -> Link:
    name = ifb_name(request.network, request.container_id, request.ifname)
    # One of an ADD that was cut off is of no use.
    kernel.do(links.delete(name), tc.add_ifb(End(name, mtu=veth.mtu)))
    alias = f"{_ALIAS} {request.network} {request.container_id} {request.ifname}"
    kernel.do(links.change(name, alias=alias))
    ifb = kernel.link(name)
    if ifb is None:
        raise CniError(types.INTERNAL, f"{name} vanished")
    kernel.do(tc.shape(ifb.index, bucket), tc.take_in(veth.index), tc.redirect(veth.index, ifb.index))
    return ifb


def _veth(kernel: Netlink, previous: dict[str, Any]) -> Link:
    """The node's end of the pod's link, by the result before this plugin."""
    names = [str(i["name"]) for i in previous.get("interfaces") or () if i.get("name") and not i.get("sandbox")]
    found = (link for link in map(kernel.link, names) if link is not None and link.kind == "veth")
    link = next(found, None)
    if link is None:
        raise CniError(types.INVALID_CONFIG, f"prevResult names no veth of the node: {', '.join(names) or 'nothing'}")
    return link


PLUGIN = Plugin("bandwidth", add, delete, check, gc, status)
