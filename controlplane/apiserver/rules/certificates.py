"""Certificate signing requests, and the verdicts on them. What was let in earlier is not held against a change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

from apimachinery import errors, formats, pki, signing
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import changed, hook, required

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
# A domain, a slash, and a label before a domain.
_LONGEST_DOMAIN, _LONGEST_SIGNER = 253, 253 + 1 + 253 + 63 + 1
_SHORTEST = 600
_VERDICTS = ("Approved", "Denied")
_FINAL = (*_VERDICTS, "Failed")
_STATUSES = ("False", "True", "Unknown")


def _decoded(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "")
    except binascii.Error:
        return b""


def _was(at: Place, part: str) -> Obj:
    found: Obj = (at.about.old or {}).get(part) or {}
    return found


# --- what is asked for ---


def _request(spec: Obj, at: Place) -> Iterator[FieldError]:
    try:
        signing.requested(_decoded(spec.get("request")))
    except ValueError as error:
        yield errors.invalid(at.to("request"), spec.get("request"), str(error))


def _usages(spec: Obj, at: Place) -> Iterator[FieldError]:
    listed, before, where = spec["usages"] or [], _was(at, "spec").get("usages") or [], at.to("usages")
    if all(usage in _USAGES for usage in before):
        for index, usage in enumerate(listed):
            if usage not in _USAGES:
                yield errors.not_supported(f"{where}[{index}]", usage, _USAGES)
    if len(set(before)) == len(before):
        for index, usage in enumerate(listed):
            if usage in listed[:index]:
                yield errors.duplicate(f"{where}[{index}]", usage)


def _signer(spec: Obj, at: Place) -> Iterator[FieldError]:
    title, where = spec.get("signerName") or "", at.to("signerName")
    if title == _LEGACY and _was(at, "spec").get("signerName") != _LEGACY:
        yield errors.invalid(where, title, "the legacy signerName is not allowed via this API version")
    else:
        yield from signer_name(where, title)


def signer_name(path: str, title: str) -> Iterator[FieldError]:
    """Complaints about a signer: a domain with a path."""
    domain, slash, rest = title.partition("/")
    if not title:
        yield errors.required(path)
        return
    if not slash or "/" in rest:
        yield errors.invalid(path, title, _SIGNER_FORM)
        return
    if len(domain) > _LONGEST_DOMAIN:
        yield errors.too_long(path, _LONGEST_DOMAIN)
    yield from _first_label(path, domain, formats.dns1123_label)
    if "." not in domain:
        yield errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    yield from _first_label(path, rest, formats.dns1123_subdomain)
    if len(title) > _LONGEST_SIGNER:
        yield errors.too_long(path, _LONGEST_SIGNER)


def _first_label(path: str, text: str, check: Callable[[str], tuple[str, ...]]) -> Iterator[FieldError]:
    """What is wrong with the first label that is not as it should be."""
    for one in text.split("."):
        if complaints := check(one):
            for told in complaints:
                yield errors.invalid(path, text, f"validating label {errors.quoted(one)}: {told}")
            return


def _duration(spec: Obj, at: Place) -> Iterator[FieldError]:
    seconds = spec["expirationSeconds"]
    if seconds is not None and seconds < _SHORTEST:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        yield errors.invalid(at.to("expirationSeconds"), seconds, text)


# --- verdicts ---


def _conditions(status: Obj, at: Place) -> Iterator[FieldError]:
    before = [condition.get("type") or "" for condition in _was(at, "status").get("conditions") or ()]
    torn, twice = set(_VERDICTS) <= set(before), len(set(before)) < len(before)
    seen: set[str] = set()
    for index, condition in enumerate(status["conditions"] or ()):
        path, kind = f"{at.to('conditions')}[{index}]", condition.get("type") or ""
        value, allowed = condition.get("status") or "", ("True",) if kind in _FINAL else _STATUSES
        if not kind and "" not in before:
            yield errors.required(f"{path}.type")
        if not value:
            yield errors.required(f"{path}.status")
        elif value not in allowed:
            yield errors.not_supported(f"{path}.status", value, allowed)
        if kind in _VERDICTS and not torn and any(other in seen for other in _VERDICTS if other != kind):
            text = "Approved and Denied conditions are mutually exclusive"
            yield errors.invalid(at.to("conditions"), kind, text)
        if kind in seen and not twice:
            yield errors.duplicate(f"{path}.type", kind)
        seen.add(kind)


def _of_kind(request: Obj, kind: str) -> list[Obj]:
    return [c for c in (request.get("status") or {}).get("conditions") or () if c.get("type") == kind]


def _removed(request: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    for kind in _FINAL:
        if len(_of_kind(request, kind)) < len(_of_kind(before, kind)):
            text = f'updates may not remove a condition of type "{kind}"'
            yield errors.field_forbidden("status.conditions", text)


def _judged(request: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A verdict is given by way of the approval alone."""
    for kind in _VERDICTS:
        now, then = _of_kind(request, kind), _of_kind(before, kind)
        if len(now) > len(then):
            yield errors.field_forbidden("status.conditions", f'updates may not add a condition of type "{kind}"')
        elif len(now) == len(then) and now != then:
            yield errors.field_forbidden("status.conditions", f'updates may not modify a condition of type "{kind}"')


# --- the certificate ---


def _certificate(status: Obj, at: Place) -> Iterator[FieldError]:
    given, before = status["certificate"] or "", _was(at, "status").get("certificate") or ""
    if (at.about.old is not None and given == before) or pki.no_certificates(_decoded(before)):
        return
    if wrong := pki.no_certificates(_decoded(given)):
        yield errors.invalid(at.to("certificate"), "<certificate data>", wrong)


def _unissued(request: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    if _issued_of(request) != _issued_of(before):
        yield errors.field_forbidden("status.certificate", "updates may not set certificate content")


def _issued(request: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    if _issued_of(before) and _issued_of(request) != _issued_of(before):
        text = "updates may not modify existing certificate content"
        yield errors.field_forbidden("status.certificate", text)


def _issued_of(request: Obj) -> str:
    found: str = (request.get("status") or {}).get("certificate") or ""
    return found


_ALL: Row = (inside("spec", always=True), "status", changed(_removed))

RULES: dict[str, Row] = {
    "certificates.v1.CertificateSigningRequest": (*_ALL, changed(_judged), changed(_unissued)),
    "certificates.v1.CertificateSigningRequest/status": (*_ALL, changed(_judged), changed(_issued)),
    "certificates.v1.CertificateSigningRequest/approval": (*_ALL, changed(_unissued)),
    "certificates.v1.CertificateSigningRequestSpec": (
        hook(_request),
        required("usages"),
        hook(_usages, "usages"),
        hook(_signer),
        hook(_duration, "expirationSeconds"),
    ),
    "certificates.v1.CertificateSigningRequestStatus": (
        hook(_conditions, "conditions"),
        hook(_certificate, "certificate"),
    ),
}
