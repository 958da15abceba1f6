"""Will this machine do? Each finding says what is wrong, what it costs and how to mend it. Pure.

Fatal is what no waiting mends and what would go wrong in silence; the rest may be as it is on purpose, or soon pass.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import cni.settings
from lab.preflight import MEGABYTE, Finding
from lab.standalone.facts import Answer, Facts, Link
from lab.standalone.settings import Networking, Node

MEMORY_NEEDED = 700 * MEGABYTE
# Certificates are good from some minutes before they were made, as upstream's are; leases and Events show less.
CLOCK_SECONDS, CLOCK_FATAL_SECONDS = 5.0, 240.0
KERNEL_MTU = 1500
# Interfaces on which pods' and Services' own addresses are (a node's DNS has its on lo): made by us, or by a proxy.
_OURS = ("lo", cni.settings.Settings().bridge, "kube-ipvs0", "nodelocaldns")


def of_server(settings: Networking, address: str, facts: Facts) -> list[Finding]:
    """What a control plane at `address` would suffer from."""
    return [*_everywhere(settings, address, "--address", facts)]


def of_node(settings: Node, address: str, facts: Facts, answer: Answer) -> list[Finding]:
    """What a node at `address` would; `answer` is its API server's."""
    return [
        *_everywhere(settings, address, "--node-ip", facts),
        *_swap(facts),
        *_mtu(settings, address, facts),
        *_server(settings, answer),
    ]


def _everywhere(settings: Networking, address: str, option: str, facts: Facts) -> Iterator[Finding]:
    yield from _address(address, option, facts)
    yield from _ranges(settings, facts)
    yield from _routes(settings, facts)
    if facts.firewall:
        yield Finding(
            f"{facts.firewall} is on: other machines need 6443, 10250, 10256 and node ports from this one, pods their "
            f"range {settings.pod_cidr}; open them, or switch {facts.firewall} off",
            fatal=False,
        )
    if 0 < facts.memory < MEMORY_NEEDED:
        text = f"this machine has {facts.memory // MEGABYTE} MB of memory and {MEMORY_NEEDED // MEGABYTE} are needed"
        yield Finding(f"{text}: daemons may be killed", fatal=False)


def _address(address: str, option: str, facts: Facts) -> Iterator[Finding]:
    link = _with(address, facts)
    if link is None:
        others = ", ".join(f"{link.name} {each.ip}" for link in facts.links for each in link.addresses)
        yield Finding(f"no interface of this machine has {address} ({others or 'none has any'}): give another {option}")
        return
    (own,) = (each for each in link.addresses if str(each.ip) == address)
    beside = [str(each.ip) for each in link.addresses if each.network == own.network and each.ip != own.ip]
    if beside:
        yield Finding(
            f"{link.name} has {address} and, of the same network, {', '.join(beside)}: does a DHCP server answer there "
            "besides? Packets may leave with the wrong one; let only one of the two give addresses",
            fatal=False,
        )


def _ranges(settings: Networking, facts: Facts) -> Iterator[Finding]:
    for name, text in (("--pod-cidr", settings.pod_cidr), ("--service-cidr", settings.service_cidr)):
        wanted = ipaddress.ip_network(text)
        for link in facts.links:
            for each in link.addresses:
                if link.name not in _OURS and each.network.overlaps(wanted):
                    yield Finding(
                        f"{name} {text} overlaps {each.network}, in which {link.name} is: what lies there would be out "
                        "of reach; choose another range, the same on every machine"
                    )


def _routes(settings: Networking, facts: Facts) -> Iterator[Finding]:
    if not facts.default_routes:
        yield Finding(
            f"no default route: the kernel knows no way to cluster IPs ({settings.service_cidr}) and refuses before "
            "any rule is asked; ip route add default via ADDRESS",
            fatal=False,
        )
    if len(set(facts.default_routes)) > 1:
        yield Finding(
            f"default routes go through {', '.join(dict.fromkeys(facts.default_routes))}: which one is taken decides "
            "the address that others see; keep one",
            fatal=False,
        )


def _swap(facts: Facts) -> Iterator[Finding]:
    if facts.swap:
        text = "swap is on: a pod over its memory limit is slowed down instead of ended; swapoff -a, and take it out of"
        yield Finding(f"{text} /etc/fstab", fatal=False)


def _mtu(settings: Node, address: str, facts: Facts) -> Iterator[Finding]:
    link, own = _with(address, facts), int(settings.network.get("mtu", 0)) or KERNEL_MTU
    if link is not None and link.name != "lo" and link.mtu < own:
        yield Finding(
            f"pods send packets of {own} bytes and {link.name} carries {link.mtu}: large answers between nodes may be "
            f"lost; --set 'network={{mtu: {link.mtu}}}'",
            fatal=False,
        )


def _server(settings: Node, answer: Answer) -> Iterator[Finding]:
    where = settings.server or "the API server"
    if answer.problem:
        yield Finding(
            f"{where} does not answer yet ({answer.problem}): this node joins as soon as it does", fatal=False
        )
    off = abs(answer.clock_ahead)
    if off > CLOCK_SECONDS:
        side = "ahead of" if answer.clock_ahead > 0 else "behind"
        text = (
            f"this machine's clock is {off:.0f} s {side} that of {where}: certificates seem not yet good, or at an end"
        )
        yield Finding(f"{text}; apt-get install chrony, or timedatectl set-ntp true", fatal=off > CLOCK_FATAL_SECONDS)


def _with(address: str, facts: Facts) -> Link | None:
    return next((link for link in facts.links for each in link.addresses if str(each.ip) == address), None)
