"""The core group's smaller kinds, EndpointSlices and Leases."""

from __future__ import annotations

import base64
import ipaddress

from apimachinery import errors, formats, jsontext
from controlplane.apiserver.validation import pods
from controlplane.apiserver.validation.containers import PROTOCOLS
from controlplane.apiserver.validation.fields import Found, Obj, config_key, each, enum, not_negative
from controlplane.apiserver.validation.services import special

_LIMIT = 1 << 20
_REDACTED = "<secret contents redacted>"
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"
# What a Secret of a type must hold.
_NEEDED = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def config_map(obj: Obj) -> Found:
    found: Found = []
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key in sorted(data):
        found += each(f"data[{key}]", key, config_key(key))
        if key in binary:
            text = "duplicate of key present in binaryData"
            found.append(errors.invalid(f"data[{key}]", key, text))
        size += len((data[key] or "").encode())
    for key in sorted(binary):
        found += each(f"binaryData[{key}]", key, config_key(key))
        size += len(binary[key] or "") * 3 // 4
    if size > _LIMIT:
        found.append(errors.too_long("", _LIMIT))
    return found


def config_map_change(new: Obj, old: Obj) -> Found:
    return _frozen(new, old, ("data", "binaryData")) + config_map(new)


def _frozen(new: Obj, old: Obj, fields: tuple[str, ...]) -> Found:
    if not old.get("immutable"):
        return []
    found: Found = []
    if not new.get("immutable"):
        found.append(errors.field_forbidden("immutable", _WHEN_IMMUTABLE))
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            found.append(errors.field_forbidden(field, _WHEN_IMMUTABLE))
    return found


def secret(obj: Obj) -> Found:
    found: Found = []
    data, kind = obj.get("data") or {}, obj.get("type")
    size = 0
    for key in sorted(data):
        found += each(f"data[{key}]", key, config_key(key))
        size += len(data[key] or "") * 3 // 4
    if size > _LIMIT:
        found.append(errors.too_long("data", _LIMIT))
    if kind == "kubernetes.io/service-account-token":
        if not (obj["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name"):
            found.append(errors.required("metadata.annotations[kubernetes.io/service-account.name]"))
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            found += [errors.required("data[username]"), errors.required("data[password]")]
    elif kind == "kubernetes.io/tls":
        found += [errors.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    for key in _NEEDED.get(str(kind), ()):
        if key not in data:
            found.append(errors.required(f"data[{key}]"))
        elif key.startswith(".docker"):
            found += _json(f"data[{key}]", data[key])
    return found


def _json(path: str, text: str) -> Found:
    try:
        jsontext.loads(base64.b64decode(text))
    except jsontext.JsonError as error:
        return [errors.invalid(path, _REDACTED, str(error))]
    return []


def secret_change(new: Obj, old: Obj) -> Found:
    found: Found = []
    if new.get("type") != old.get("type"):
        found.append(errors.immutable("type", new.get("type")))
    return found + _frozen(new, old, ("data",)) + secret(new)


def namespace_change(new: Obj, old: Obj) -> Found:
    return finalizers(new)


def finalizers(obj: Obj) -> Found:
    """spec.finalizers of a namespace."""
    found: Found = []
    for index, name in enumerate(obj["spec"].get("finalizers") or ()):
        where = f"spec.finalizers[{index}]"
        found += each(where, name, formats.qualified_name(name))
        if "/" not in name and name != "kubernetes":
            text = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(errors.invalid(where, name, text))
    return found


def namespace_status(new: Obj, old: Obj) -> Found:
    phase = (new.get("status") or {}).get("phase")
    if "deletionTimestamp" not in new["metadata"]:
        if phase != "Active":
            text = "may only be 'Active' if `deletionTimestamp` is empty"
            return [errors.invalid("status.Phase", phase, text)]
    elif phase != "Terminating":
        text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        return [errors.invalid("status.Phase", phase, text)]
    return []


def lease(obj: Obj) -> Found:
    spec = obj.get("spec") or {}
    found: Found = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        found.append(errors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    return found + not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def pod_template(obj: Obj) -> Found:
    return pods.template("template", obj["template"])


def node(obj: Obj) -> Found:
    found: Found = []
    cidrs = obj["spec"].get("podCIDRs") or []
    for index, cidr in enumerate(cidrs):
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            found.append(errors.invalid(f"spec.podCIDRs[{index}]", cidr, text))
    return found


def event(obj: Obj) -> Found:
    involved = obj.get("involvedObject") or {}
    space = obj["metadata"].get("namespace") or ""
    if involved.get("namespace"):
        if involved["namespace"] != space:
            text = "does not match event.namespace"
            return [errors.invalid("involvedObject.namespace", involved["namespace"], text)]
    elif space not in ("", "default", "kube-system"):
        return [errors.invalid("involvedObject.namespace", "", "does not match event.namespace")]
    return []


def controller_revision(obj: Obj) -> Found:
    found: Found = not_negative("revision", obj.get("revision"))
    if obj.get("data") is None:
        found.append(errors.required("data", "data is mandatory"))
    return found


def controller_revision_change(new: Obj, old: Obj) -> Found:
    found = controller_revision(new)
    if new.get("data") != old.get("data"):
        found.append(errors.immutable("data", new.get("data")))
    return found


# --- endpoint slices ---


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
    if family == "IPv4" and any(len(p) > 1 and p.startswith("0") for p in address.split(".")):
        return [errors.invalid(where, address, "must not have leading 0s")]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        return [errors.invalid(where, address, text)]
    wrong: Found = []
    if f"IPv{found.version}" != family:
        wrong.append(errors.invalid(path, address, f"must be an {family} address"))
    return wrong + special(where, address)


def endpoint_slice_change(new: Obj, old: Obj) -> Found:
    found: Found = []
    if new.get("addressType") != old.get("addressType"):
        found.append(errors.immutable("addressType", new.get("addressType")))
    return endpoint_slice(new) + found
