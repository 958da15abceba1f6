"""Webhook configurations."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.admissionregistration.matching import (
    CONDITIONS,
    FAILURE_POLICIES,
    MATCH_POLICIES,
    REINVOCATION,
)
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.values import PORT_RANGE, Found, each
from controlplane.apiserver.rules.words import between, by_path, enum, hook, required, unique, when

_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REVIEWS = ("v1", "v1beta1")
_URL_FORM = "desired format: https://host[/path]"


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


def _url(path: str, url: str) -> Found:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [errors.required(path, f"url must be a valid URL: {error}; {_URL_FORM}")]
    found: Found = []
    if parts.scheme != "https":
        found.append(errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {_URL_FORM}"))
    user, at_host, host = parts.netloc.rpartition("@")
    if not host:
        found.append(errors.invalid(path, host, f"host must be specified; {_URL_FORM}"))
    if at_host:
        found.append(errors.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(errors.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(errors.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def _service_path(path: str, url: str) -> Found:
    if url == "/":
        return []
    if url == "//":
        return [errors.invalid(path, url, "segment[0] may not be empty")]
    found = [] if url.startswith("/") else [errors.invalid(path, url, "must start with a '/'")]
    for index, segment in enumerate(url[1:].removesuffix("/").split("/")):
        if not segment:
            found.append(errors.invalid(path, url, f"segment[{index}] may not be empty"))
            continue
        for text in formats.dns1123_subdomain(segment):
            found.append(errors.invalid(path, url, f"segment[{index}]: {text}"))
    return found


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
        when(_one, by_path("url", _url, "absent"), "service"),
    ),
    "admissionregistration.v1.ServiceReference": (
        required("name"),
        required("namespace"),
        between("port", 1, 65535, f"port is not valid: {PORT_RANGE}"),
        by_path("path", _service_path, "pass"),
    ),
}
