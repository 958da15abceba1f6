"""Certificate signing requests, and the verdicts on them."""

from __future__ import annotations

import base64
import binascii
import re

from apimachinery import errors, formats, pki
from controlplane.apiserver.rules.values import Found, Obj, each, enum

_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_LEGACY = "kubernetes.io/legacy-unknown"
_SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
_SHORTEST = 600
_VERDICTS = ("Approved", "Denied")
_FINAL = (*_VERDICTS, "Failed")
_STATUSES = ("False", "True", "Unknown")
_PEM_TYPE = re.compile(rb"-----BEGIN ([^-]+)-----")
_SHOWN = "<certificate data>"


def request(obj: Obj) -> Found:
    spec = obj["spec"]
    found: Found = []
    try:
        pki.requested(_decoded(spec.get("request")))
    except ValueError as error:
        found.append(errors.invalid("spec.request", spec.get("request") or "", str(error)))
    usages = spec.get("usages") or []
    if not usages:
        found.append(errors.required("spec.usages"))
    for index, usage in enumerate(usages):
        found += enum(f"spec.usages[{index}]", usage, _USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            found.append(errors.duplicate(f"spec.usages[{index}]", usage))
    if spec.get("signerName") == _LEGACY:
        found.append(errors.invalid("spec.signerName", _LEGACY, "is not allowed"))
    else:
        found += signer_name("spec.signerName", spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(errors.invalid("spec.expirationSeconds", seconds, text))
    return found + _conditions((obj.get("status") or {}).get("conditions") or [])


def _decoded(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "")
    except binascii.Error:
        return b""


def signer_name(path: str, name: str) -> Found:
    if not name:
        return [errors.required(path)]
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        return [errors.invalid(path, name, _SIGNER_FORM)]
    found = each(path, domain, formats.dns1123_subdomain(domain))
    if not found and "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        found.append(errors.invalid(path, domain, text))
    for label in rest.split("."):
        for text in formats.dns1123_label(label):
            found.append(errors.invalid(path, name, f'validating label "{label}": {text}'))
    return found


def _conditions(listed: list[Obj]) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, condition in enumerate(listed):
        path, kind, status = f"status.conditions[{index}]", condition.get("type") or "", condition.get("status") or ""
        if not kind:
            found.append(errors.required(f"{path}.type"))
        if not status:
            found.append(errors.required(f"{path}.status"))
        else:
            found += enum(f"{path}.status", status, ("True",) if kind in _FINAL else _STATUSES)
        if kind in _VERDICTS and any(other in seen for other in _VERDICTS if other != kind):
            text = "Approved and Denied conditions are mutually exclusive"
            found.append(errors.invalid("status.conditions", kind, text))
        if kind in seen:
            found.append(errors.duplicate(f"{path}.type", kind))
        seen.add(kind)
    return found


def _of_type(obj: Obj, kind: str) -> list[Obj]:
    return [c for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") == kind]


def _removed(new: Obj, old: Obj) -> Found:
    return [
        errors.field_forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
        for kind in _FINAL
        if len(_of_type(new, kind)) < len(_of_type(old, kind))
    ]


def approval(new: Obj, old: Obj) -> Found:
    """A change of the verdict."""
    return request(new) + _removed(new, old)


def status(new: Obj, old: Obj) -> Found:
    """A signer's write: the certificate and what failed, but no verdict."""
    found = request(new) + _removed(new, old) + _certificate(new)
    for kind in _VERDICTS:
        after, before = _of_type(new, kind), _of_type(old, kind)
        if len(after) > len(before):
            text = f'updates may not add a condition of type "{kind}"'
            found.append(errors.field_forbidden("status.conditions", text))
        elif len(after) == len(before) and after != before:
            text = f'updates may not modify a condition of type "{kind}"'
            found.append(errors.field_forbidden("status.conditions", text))
    issued = (old.get("status") or {}).get("certificate")
    if issued and issued != (new.get("status") or {}).get("certificate"):
        text = "updates may not modify existing certificate content"
        found.append(errors.field_forbidden("status.certificate", text))
    return found


def _certificate(obj: Obj) -> Found:
    data = _decoded((obj.get("status") or {}).get("certificate"))
    if not data:
        return []
    kinds = _PEM_TYPE.findall(data)
    wrong = [kind.decode(errors="replace") for kind in kinds if kind != b"CERTIFICATE"]
    if not kinds:
        why = "must contain at least one CERTIFICATE PEM block"
    elif wrong:
        why = f'only CERTIFICATE PEM blocks are allowed, found "{wrong[0]}"'
    else:
        return []
    return [errors.invalid("status.certificate", _SHOWN, why)]
