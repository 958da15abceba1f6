"""Requests about queueing of packets (tc(8)): a token bucket on a link, and leading what comes in through another link.

Pure. Sources: linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h, tc-tbf(8), net/sched in the kernel's tree.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from apimachinery.kit.netlink import links, wire
from apimachinery.kit.netlink.links import End
from apimachinery.kit.netlink.wire import NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, Reply, Request

_NEW_QDISC, _DELETE_QDISC, _GET_QDISC, _NEW_FILTER = 36, 37, 38, 44
_ROOT, _INGRESS, _INGRESS_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
_BUCKET_HANDLE = 0x00010000
_KIND, _OPTIONS = 1, 2
_TBF_PARAMETERS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_U32_CLASS, _U32_SELECTOR, _U32_ACTION = 1, 5, 7
_ACTION_KIND, _ACTION_OPTIONS, _MIRRED_PARAMETERS = 1, 2, 2
_STOLEN, _REDIRECT_OUT = 4, 1
_EVERY_PROTOCOL = 3
_ETHERNET, _MOST_32 = 1, (1 << 32) - 1
_HEAD = struct.Struct("=BxxxiIII")
# Two rates (the second, of peaks, is not used), then limit, buffer and mtu.
_RATE = struct.Struct("=BBHhHI")
_LIMITS = struct.Struct("=III")


@dataclass(frozen=True)
class Bucket:
    """What leaves a link at most: `rate` bytes a second on average, `burst` bytes at once, `limit` bytes waiting."""

    rate: int
    burst: int
    limit: int


def add_ifb(end: End) -> Request:
    """A link whose only use is to queue what is led through it."""
    return links.create(end, "ifb")


def shape(link: int, bucket: Bucket) -> Request:
    """The link's one queue, whatever it had before."""
    rate = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(bucket.rate, _MOST_32))
    limits = _LIMITS.pack(min(bucket.limit, _MOST_32), 0, 0)
    parts = [wire.attribute(_TBF_PARAMETERS, rate + _RATE.pack(0, 0, 0, 0, 0, 0) + limits)]
    if bucket.rate > _MOST_32:
        parts.append(wire.attribute(_TBF_RATE64, struct.pack("=Q", bucket.rate)))
    parts.append(wire.u32(_TBF_BURST, bucket.burst))
    payload = _HEAD.pack(0, link, _BUCKET_HANDLE, _ROOT, 0) + wire.text(_KIND, "tbf") + wire.nested(_OPTIONS, *parts)
    return Request(_NEW_QDISC, NLM_F_CREATE | NLM_F_REPLACE, payload, f"shape link {link} to {bucket.rate} bytes/s")


def take_in(link: int) -> Request:
    """Let filters see what comes in by the link."""
    payload = _HEAD.pack(0, link, _INGRESS_HANDLE, _INGRESS, 0) + wire.text(_KIND, "ingress")
    asked = f"look at what comes in by link {link}"
    return Request(_NEW_QDISC, NLM_F_CREATE | NLM_F_EXCL, payload, asked, (errno.EEXIST,))


def redirect(link: int, through: int) -> Request:
    """Everything that comes in by `link` (see `take_in`) leaves by `through` first."""
    selector = struct.pack("=BBBxHHhhI", 1, 0, 1, 0, 0, 0, 0, 0) + struct.pack("=IIii", 0, 0, 0, 0)
    mirred = struct.pack("=IIiiiiI", 0, 0, _STOLEN, 0, 0, _REDIRECT_OUT, through)
    action = wire.nested(
        1,
        wire.text(_ACTION_KIND, "mirred"),
        wire.nested(_ACTION_OPTIONS, wire.attribute(_MIRRED_PARAMETERS, mirred)),
    )
    options = (
        wire.u32(_U32_CLASS, 0x00010001),
        wire.attribute(_U32_SELECTOR, selector),
        wire.nested(_U32_ACTION, action),
    )
    priority = 1 << 16 | struct.unpack("=H", struct.pack("!H", _EVERY_PROTOCOL))[0]
    head = _HEAD.pack(0, link, 0, _INGRESS_HANDLE, priority)
    payload = head + wire.text(_KIND, "u32") + wire.nested(_OPTIONS, *options)
    return Request(_NEW_FILTER, NLM_F_CREATE | NLM_F_EXCL, payload, f"lead link {link} through {through}")


def dump() -> Request:
    return Request(_GET_QDISC, NLM_F_DUMP, _HEAD.pack(0, 0, 0, 0, 0), "list queues")


def parse(reply: Reply) -> tuple[int, str, Bucket | None]:
    """(link, kind, what a token bucket is set to); the burst comes back rounded to the clock's ticks, here as 0."""
    _, link, _, _, _ = _HEAD.unpack_from(reply.payload)
    found = wire.attributes(reply.payload, _HEAD.size)
    kind = wire.as_text(found.get(_KIND, b""))
    if kind != "tbf":
        return link, kind, None
    options = wire.attributes(found.get(_OPTIONS, b""))
    parameters = options.get(_TBF_PARAMETERS, b"")
    rate = _RATE.unpack_from(parameters)[-1]
    if _TBF_RATE64 in options:
        rate = wire.as_int(options[_TBF_RATE64])
    return link, kind, Bucket(rate, 0, _LIMITS.unpack_from(parameters, 2 * _RATE.size)[0])
