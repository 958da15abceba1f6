"""Endpoints and EndpointSlices: where the traffic of Services goes."""

from __future__ import annotations

import ipaddress

from apimachinery import errors, formats
from controlplane.apiserver.rules.core.containers import PROTOCOLS
from controlplane.apiserver.rules.values import Found, Obj, each, enum, ip, ip_address, port_number
from controlplane.apiserver.validation.services import special


def endpoints(obj: Obj) -> Found:
    found: Found = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        ready, others = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
        if not ready and not others:
            found.append(errors.required(path, "must specify `addresses` or `notReadyAddresses`"))
        for field, listed in (("addresses", ready), ("notReadyAddresses", others)):
            for place, entry in enumerate(listed):
                found += _host(f"{path}.{field}[{place}]", entry)
        ports = subset.get("ports") or []
        for place, entry in enumerate(ports):
            found += _port(f"{path}.ports[{place}]", entry, len(ports) > 1)
    return found


def _host(path: str, entry: Obj) -> Found:
    address = entry.get("ip") or ""
    found = ip(f"{path}.ip", address)
    if entry.get("hostname"):
        found += each(f"{path}.hostname", entry["hostname"], formats.dns1123_label(entry["hostname"]))
    if entry.get("nodeName") is not None:
        found += each(f"{path}.nodeName", entry["nodeName"], formats.dns1123_subdomain(entry["nodeName"]))
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return [*found, errors.invalid(f"{path}.ip", address, "must be a valid IP address")]
    return found + special(f"{path}.ip", address)


def _port(path: str, entry: Obj, named: bool) -> Found:
    title, protocol = entry.get("name") or "", entry.get("protocol") or ""
    found: Found = []
    if title:
        found += each(f"{path}.name", title, formats.dns1123_label(title))
    elif named:
        found.append(errors.required(f"{path}.name"))
    found += port_number(f"{path}.port", entry.get("port") or 0)
    found += enum(f"{path}.protocol", protocol, PROTOCOLS) if protocol else [errors.required(f"{path}.protocol")]
    if entry.get("appProtocol") is not None:
        found += each(f"{path}.appProtocol", entry["appProtocol"], formats.qualified_name(entry["appProtocol"]))
    return found


def endpoint_slice(obj: Obj) -> Found:
    family = obj.get("addressType") or ""
    found: Found = []
    if not family:
        found.append(errors.required("addressType"))
    else:
        found += enum("addressType", family, ("FQDN", "IPv4", "IPv6"))
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        found += _endpoint(f"endpoints[{index}]", endpoint, family)
    names: set[str] = set()
    for index, port in enumerate(obj.get("ports") or ()):
        where, title = f"ports[{index}]", port.get("name") or ""
        if title:
            found += each(f"{where}.name", title, formats.dns1123_label(title))
        if title in names:
            found.append(errors.duplicate(f"{where}.name", title))
        names.add(title)
        if port.get("protocol"):
            found += enum(f"{where}.protocol", port["protocol"], PROTOCOLS)
    return found


def _endpoint(path: str, endpoint: Obj, family: str) -> Found:
    found: Found = []
    listed = endpoint.get("addresses") or []
    if not listed:
        found.append(errors.required(f"{path}.addresses", "must contain at least 1 address"))
    for index, address in enumerate(listed):
        found += _address(f"{path}.addresses", index, address, family)
    if endpoint.get("nodeName") is not None:
        found += each(f"{path}.nodeName", endpoint["nodeName"], formats.dns1123_subdomain(endpoint["nodeName"]))
    if endpoint.get("hostname") is not None:
        found += each(f"{path}.hostname", endpoint["hostname"], formats.dns1123_label(endpoint["hostname"]))
    zones: set[str] = set()
    for index, zone in enumerate((endpoint.get("hints") or {}).get("forZones") or ()):
        if zone.get("name") in zones:
            found.append(errors.duplicate(f"{path}.hints.forZones[{index}].name", zone["name"]))
        zones.add(zone.get("name"))
    return found


def _address(path: str, index: int, address: str, family: str) -> Found:
    where = f"{path}[{index}]"
    if family == "FQDN":
        if "." not in address:
            text = "should be a domain with at least two segments separated by dots"
            return [errors.invalid(where, address, text)]
        return []
    if family not in ("IPv4", "IPv6"):
        return []
    if why := ip_address(address):
        return [errors.invalid(where, address, why)]
    found = ipaddress.ip_address(address)
    wrong: Found = []
    if f"IPv{found.version}" != family:
        wrong.append(errors.invalid(path, address, f"must be an {family} address"))
    return wrong + special(where, address)


def endpoint_slice_change(new: Obj, old: Obj) -> Found:
    found: Found = []
    if new.get("addressType") != old.get("addressType"):
        found.append(errors.immutable("addressType", new.get("addressType")))
    return endpoint_slice(new) + found
