"""Webhook configurations."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.admissionregistration.matching import (
    CONDITIONS,
    FAILURE_POLICIES,
    MATCH_POLICIES,
    REINVOCATION,
)
from controlplane.apiserver.rules.admissionregistration.urls import service_path, url
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.values import PORT_RANGE, Found, each
from controlplane.apiserver.rules.words import between, by_path, enum, hook, unique, when

_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REVIEWS = ("v1", "v1beta1")


def _full_name(path: str, title: str) -> Found:
    if complaints := formats.dns1123_subdomain(title):
        return [errors.invalid(path, title, ",".join(complaints))]
    few = "should be a domain with at least three segments separated by dots"
    return [errors.invalid(path, title, few)] if title.count(".") < 2 else []


def _reviews(webhook: Obj, at: Place) -> Iterator[FieldError]:
    versions, path = webhook.get("admissionReviewVersions") or [], at.to("admissionReviewVersions")
    if not versions:
        yield errors.required(path, f"must specify one of {', '.join(_REVIEWS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield errors.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            yield from each(f"{path}[{index}]", version, formats.dns1035_label(version))
    if not any(version in _REVIEWS for version in versions):
        yield errors.invalid(path, versions, f"must include at least one of {', '.join(_REVIEWS)}")


# --- where a webhook is ---


def _one(client: Obj, at: Place) -> bool:
    return (client.get("url") is None) != (client.get("service") is None)


def _not_one(client: Obj, at: Place) -> Iterator[FieldError]:
    if not _one(client, at):
        yield errors.required(at.path, "exactly one of url or service is required")


def _whose(service: Obj, at: Place) -> Iterator[FieldError]:
    for field, told in (("namespace", "name"), ("name", "namespace")):
        if not service.get(field):
            yield errors.required(at.to(told))


def _webhook(*own: Rule) -> Row:
    """own: what only one of the two sorts has."""
    return (
        by_path("name", _full_name, "required"),
        "rules",
        enum("failurePolicy", FAILURE_POLICIES),
        enum("matchPolicy", MATCH_POLICIES),
        enum("sideEffects", _SIDE_EFFECTS, "given", f"must specify one of {', '.join(_SIDE_EFFECTS)}"),
        between("timeoutSeconds", 1, 30, "the timeout value must be between 1 and 30 seconds"),
        "namespaceSelector",
        "objectSelector",
        *own,
        inside("clientConfig", always=True),
        *CONDITIONS,
        hook(_reviews),
        unique("name"),
    )


RULES: dict[str, Row] = {
    "admissionregistration.v1.ValidatingWebhookConfiguration": ("webhooks",),
    "admissionregistration.v1.MutatingWebhookConfiguration": ("webhooks",),
    "admissionregistration.v1.ValidatingWebhook": _webhook(),
    "admissionregistration.v1.MutatingWebhook": _webhook(enum("reinvocationPolicy", REINVOCATION)),
    "admissionregistration.v1.WebhookClientConfig": (
        hook(_not_one),
        when(_one, by_path("url", url, "absent"), "service"),
    ),
    "admissionregistration.v1.ServiceReference": (
        # Upstream takes each for the other when it names the one that is missing.
        hook(_whose),
        between("port", 1, 65535, f"port is not valid: {PORT_RANGE}"),
        by_path("path", service_path, "pass"),
    ),
}
