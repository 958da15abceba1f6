"""A question and what is known, to an answer. Pure.

Names come in lower case, without the final dot. Every name below the zone is ours to answer, as are reverse names of
cluster addresses; None says that a name is somebody else's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from netproxy.dns.directory import Directory, Entry, Host, Key, Port

A, NS, CNAME, SOA, PTR, HINFO, TXT, AAAA, SRV, ANY = 1, 2, 5, 6, 12, 13, 16, 28, 33, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
TTL = 30
"""seconds, as the usual CoreDNS configuration has it"""
SCHEMA_VERSION, _SCHEMA_TTL = "1.1.0", 28800
_MAX_ALIASES = 8
_REVERSE4, _REVERSE6 = ".in-addr.arpa", ".ip6.arpa"

Value = str | tuple[int, int, int, str]
"""an address, a name or a text; for SRV (priority, weight, port, target)"""


class Record(NamedTuple):
    """One resource record of class IN."""

    name: str
    type: int
    value: Value
    ttl: int = TTL


class Answer(NamedTuple):
    """`extra` goes into the additional section. `alias`: a name outside the zone whose records complete the answer."""

    rcode: int = NOERROR
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()
    alias: str = ""

    @property
    def negative(self) -> bool:
        """Whether the zone's SOA must say so (RFC 2308)."""
        return not self.records


@dataclass(frozen=True)
class Zone:
    """The cluster's domain, where its DNS answers, and the ranges whose reverse names nobody else knows."""

    domain: str
    addresses: tuple[str, ...] = ()
    ranges: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @property
    def nameserver(self) -> str:
        """The name of this server."""
        return f"ns.dns.{self.domain}"


_NO_SUCH_NAME, _NO_SUCH_DATA = Answer(NXDOMAIN), Answer()


def answer(name: str, kind: int, directory: Directory, zone: Zone) -> Answer | None:
    """What to say to a question of class IN; None for names that are not the cluster's."""
    if name == zone.domain:
        return _apex(kind, zone)
    if name.endswith("." + zone.domain):
        return _below(name, kind, directory, zone)
    if name.endswith((_REVERSE4, _REVERSE6)):
        return _reverse(name, kind, directory, zone)
    return None


def decided_by(name: str, answer: Answer, zone: Zone) -> Key | None:
    """(namespace, name) of the Service whose objects alone decide this answer about a name; None when others' do, too,
    as with aliases and reverse names."""
    if not name.endswith(f".svc.{zone.domain}") or (answer.records and answer.records[0].type == CNAME):
        return None
    labels = name[: -len(zone.domain) - 1].split(".")
    return (labels[-2], labels[-3]) if len(labels) > 2 else None


def _apex(kind: int, zone: Zone) -> Answer:
    if kind == SOA:
        return Answer(records=(Record(zone.domain, SOA, zone.nameserver),))
    if kind == NS:
        own = Record(zone.domain, NS, zone.nameserver)
        return Answer(records=(own,), extra=_addresses(zone.nameserver, zone.addresses))
    return _NO_SUCH_DATA


def _below(name: str, kind: int, directory: Directory, zone: Zone) -> Answer:
    labels = name[: -len(zone.domain) - 1].split(".")
    if labels == ["dns-version"]:
        version = Record(name, TXT, SCHEMA_VERSION, _SCHEMA_TTL)
        return Answer(records=(version,)) if kind in (TXT, ANY) else _NO_SUCH_DATA
    if labels == ["dns"]:
        return _NO_SUCH_DATA
    if labels == ["ns", "dns"]:
        return _of_type(name, kind, zone.addresses)
    if labels[-1] == "svc" and len(labels) > 2:
        return _service(name, labels, kind, directory, zone)
    if labels[-1] == "pod" and len(labels) > 2:
        return _pod(name, labels, kind)
    # Every namespace has a name, whether it exists or not: nothing here knows them.
    return _NO_SUCH_DATA if labels[-1] in ("svc", "pod") else _NO_SUCH_NAME


def _pod(name: str, labels: list[str], kind: int) -> Answer:
    """IP-with-dashes.namespace.pod: whatever the address, as deprecated but expected."""
    text = labels[0]
    ip = text.replace("-", ".") if text.count("-") == 3 and "--" not in text else text.replace("-", ":")
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        return _NO_SUCH_NAME
    return _of_type(name, kind, (ip,)) if len(labels) == 3 else _NO_SUCH_NAME


def _service(name: str, labels: list[str], kind: int, directory: Directory, zone: Zone) -> Answer:
    *rest, service, namespace, _ = labels
    key = (namespace, service)
    entry = directory.entry(key)
    if entry is None or len(rest) > 2:
        return _NO_SUCH_NAME
    if not rest and entry.cluster_ips and kind != SRV:
        return _of_type(name, kind, entry.cluster_ips)
    if entry.external_name:
        return _external(name, entry, kind, directory, zone) if not rest else _NO_SUCH_NAME
    base = f"{service}.{namespace}.svc.{zone.domain}"
    if len(rest) == 1:
        hosts = [host for host in directory.hosts(key) if host.label == rest[0]]
        return _hosts(name, hosts, None, kind, base) if hosts else _NO_SUCH_NAME
    wanted = _wanted_port(rest)
    if rest and wanted is None:
        return _NO_SUCH_NAME
    if entry.headless:
        hosts = [h for h in directory.hosts(key) if wanted is None or any(_is(p, wanted) for p in h.ports)]
        return _hosts(name, hosts, wanted, kind, base) if hosts else _NO_SUCH_NAME
    ports = [port for port in entry.ports if wanted is None or _is(port, wanted)]
    if wanted and not ports:
        return _NO_SUCH_NAME
    if kind == SRV:
        return _srv(name, [(port.number, base) for port in ports], _addresses(base, entry.cluster_ips))
    return _of_type(name, kind, entry.cluster_ips)


def _wanted_port(labels: list[str]) -> tuple[str, str] | None:
    """_port._protocol to both words."""
    if len(labels) == 2 and all(len(label) > 1 and label[0] == "_" for label in labels):
        return labels[0][1:], labels[1][1:]
    return None


def _is(port: Port, wanted: tuple[str, str]) -> bool:
    return (port.name, port.protocol) == wanted


def _hosts(name: str, hosts: Iterable[Host], wanted: tuple[str, str] | None, kind: int, base: str) -> Answer:
    known = list(hosts)
    if kind != SRV:
        return _of_type(name, kind, [host.ip for host in known])
    targets: list[tuple[int, str]] = []
    extra: list[Record] = []
    for host in known:
        target = f"{host.label}.{base}"
        ports = [port for port in host.ports if wanted is None or _is(port, wanted)]
        targets += [(port.number, target) for port in ports]
        if ports:
            extra += _addresses(target, (host.ip,))
    return _srv(name, targets, extra)


def _srv(name: str, targets: Iterable[tuple[int, str]], extra: Iterable[Record]) -> Answer:
    once = list(dict.fromkeys(targets))
    weight = max(1, 100 // len(once)) if once else 0
    records = tuple(Record(name, SRV, (0, weight, port, target)) for port, target in once)
    return Answer(records=records, extra=tuple(dict.fromkeys(extra)) if records else ())


def _external(name: str, entry: Entry, kind: int, directory: Directory, zone: Zone) -> Answer:
    """A chain of names; those of the zone are followed here."""
    try:
        ipaddress.ip_address(entry.external_name)
    except ValueError:
        pass
    else:
        return _NO_SUCH_NAME  # an address is no name that an alias could lead to
    records = (Record(name, CNAME, entry.external_name),)
    if kind == CNAME:
        return Answer(records=records)
    target = entry.external_name.lower()
    if target != zone.domain and not target.endswith("." + zone.domain):
        return Answer(records=records, alias=target)
    return _follow(records, target, kind, directory, zone)


def _follow(records: tuple[Record, ...], target: str, kind: int, directory: Directory, zone: Zone) -> Answer:
    for _ in range(_MAX_ALIASES):
        labels = target[: -len(zone.domain) - 1].split(".")
        entry = directory.entry((labels[1], labels[0])) if len(labels) == 3 and labels[2] == "svc" else None
        if entry is None or not entry.external_name:
            found = answer(target, kind, directory, zone) or _NO_SUCH_DATA
            return Answer(found.rcode, (*records, *found.records), found.extra, found.alias)
        records = (*records, Record(target, CNAME, entry.external_name))
        target = entry.external_name.lower()
        if target != zone.domain and not target.endswith("." + zone.domain):
            return Answer(records=records, alias=target)
    return Answer(SERVFAIL, records)


def _reverse(name: str, kind: int, directory: Directory, zone: Zone) -> Answer | None:
    ip = reverse_address(name)
    if ip is None:
        return None
    names = []
    for key in directory.owners(str(ip)):
        base = f"{key[1]}.{key[0]}.svc.{zone.domain}"
        entry = directory.entry(key)
        if entry is not None and str(ip) in entry.cluster_ips:
            names = [base]
            break
        if entry is not None and entry.headless:
            names += [f"{host.label}.{base}" for host in directory.hosts(key) if host.ip == str(ip)]
    if names:
        records = tuple(Record(name, PTR, target) for target in dict.fromkeys(names))
        return Answer(records=records) if kind in (PTR, ANY) else _NO_SUCH_DATA
    if any(ip in network for network in zone.ranges if network.version == ip.version):
        return _NO_SUCH_NAME
    return None


def reverse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a whole reverse name stands for."""
    try:
        if name.endswith(_REVERSE4):
            return ipaddress.IPv4Address(".".join(reversed(name[: -len(_REVERSE4)].split("."))))
        digits = name[: -len(_REVERSE6)].split(".")
        if len(digits) != 32 or any(len(digit) != 1 for digit in digits):
            return None
        return ipaddress.IPv6Address(int("".join(reversed(digits)), 16))
    except ValueError:
        return None


def _of_type(name: str, kind: int, ips: Iterable[str]) -> Answer:
    return Answer(records=_addresses(name, ips, kind))


def _addresses(name: str, ips: Iterable[str], kind: int = ANY) -> tuple[Record, ...]:
    typed = [(AAAA if ":" in ip else A, ip) for ip in dict.fromkeys(ips)]
    return tuple([Record(name, found, ip) for found, ip in typed if kind in (found, ANY)])
