"""AdmissionReviews: what a webhook is told, and what its answer means. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery import errors
from apimachinery.kinds import NAMESPACE, Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn.user import info

GROUP, KIND = "admission.k8s.io", "AdmissionReview"
VERSIONS = ("v1", "v1beta1")


class ReviewError(Exception):
    """The webhook cannot be asked so, or its answer makes no sense; the text is upstream's."""


@dataclass(frozen=True)
class Verdict:
    """patch: a JSON patch's text, b"" for none; result: the Status of a refusal."""

    allowed: bool
    patch: bytes = b""
    patch_type: str = ""
    result: Obj | None = None
    warnings: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def version_of(offered: tuple[str, ...]) -> str:
    """The version of AdmissionReview to send: the first one offered that is known. Raises ReviewError."""
    found = next((version for version in offered if version in VERSIONS), "")
    if not found:
        raise ReviewError(
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
        )
    return found


def ask(
    admission: Admission,
    requested: Kind,
    kind: Kind,
    uid: str,
    version: str,
    objects: tuple[Obj | None, Obj | None],
) -> Obj:
    """The review to send. requested: the kind as the client speaks it; kind: as the webhook wants it; objects: so, too,
    the new one and the old one.
    """
    request: Obj = {
        "uid": uid,
        **described(admission, requested, kind),
        "object": objects[0],
        "oldObject": objects[1],
    }
    return {"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": request}


def described(admission: Admission, requested: Kind, kind: Kind) -> Obj:
    """A request without its objects."""
    part = admission.subresource
    return {
        "kind": _body_kind(kind, part),
        "resource": _resource(kind),
        **({"subResource": part} if part else {}),
        "requestKind": _body_kind(requested, part),
        "requestResource": _resource(requested),
        **({"requestSubResource": part} if part else {}),
        **({"name": admission.given_name} if admission.given_name else {}),
        **({"namespace": space} if (space := namespace_of(admission)) else {}),
        "operation": admission.operation,
        "userInfo": info(admission.user),
        "dryRun": admission.dry_run,
        "options": admission.options or None,
    }


def namespace_of(admission: Admission) -> str:
    """The namespace of a request; one about a Namespace is in that."""
    return admission.given_name if admission.kind is NAMESPACE else admission.namespace


def _body_kind(kind: Kind, subresource: str) -> Obj:
    part = kind.subresources.get(subresource)
    if part is None:
        return {"group": kind.group, "version": kind.version, "kind": kind.kind}
    group, version = (part.group, part.version) if part.version else (kind.group, kind.version)
    return {"group": group, "version": version, "kind": part.kind}


def _resource(kind: Kind) -> Obj:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def understand(answer: Any, uid: str, version: str, mutating: bool) -> Verdict:
    """What an answer means. Raises ReviewError."""
    if not isinstance(answer, dict):
        raise ReviewError("failed to call webhook: couldn't get version/kind; json parse error: not an object")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _invalid("webhook response was absent")
    patch, patch_type = response.get("patch") or "", response.get("patchType")
    if version == "v1":
        _check(answer, response, uid, mutating)
    elif patch:
        patch_type = "JSONPatch"
    try:
        decoded = base64.b64decode("".join(patch.split()), validate=True) if mutating else b""
    except (binascii.Error, AttributeError, ValueError):
        text = f"failed to call webhook: illegal base64 data in response.patch {errors.quoted(str(patch)[:40])}"
        raise ReviewError(text) from None
    return Verdict(
        allowed=response.get("allowed") is True,
        patch=decoded,
        patch_type=patch_type or "",
        result=response.get("status"),
        warnings=tuple(str(text) for text in response.get("warnings") or ()),
        annotations={str(k): str(v) for k, v in (response.get("auditAnnotations") or {}).items()},
    )


def _check(answer: Obj, response: Obj, uid: str, mutating: bool) -> None:
    """What v1 demands of an answer. Raises ReviewError."""
    if response.get("uid") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    given_version, given_kind = answer.get("apiVersion") or "", answer.get("kind") or ""
    if (given_version, given_kind) != (f"{GROUP}/v1", KIND):
        group, _, version = given_version.rpartition("/")
        raise _invalid(
            f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {group}/{version}, Kind={given_kind}"
        )
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        if patch:
            raise _invalid("validating webhook may not return response.patch")
        if patch_type is not None:
            raise _invalid("validating webhook may not return response.patchType")
    elif patch and patch_type is None:
        raise _invalid("webhook returned response.patch but not response.patchType")
    elif not patch and patch_type is not None:
        raise _invalid("webhook returned response.patchType but not response.patch")
    elif patch_type == "":
        raise _invalid('webhook returned invalid response.patchType of ""')


def _invalid(why: str) -> ReviewError:
    return ReviewError(f"received invalid webhook response: {why}")


def rejection(name: str, result: Obj | None) -> errors.ApiError:
    """The error of a webhook's refusal: its own Status, never a success."""
    status = result or {}
    code, reason = status.get("code"), status.get("reason") or ""
    denied = f'admission webhook "{name}" denied the request'
    told = status.get("message") or reason
    message = f"{denied}: {told}" if told else f"{denied} without explanation"
    code = code if isinstance(code, int) and code >= 400 else 400
    retry = (status.get("details") or {}).get("retryAfterSeconds")
    return errors.ApiError(message, reason=reason, details=status.get("details"), code=code, retry_after=retry)
