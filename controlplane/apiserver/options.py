"""The options of a write: who writes under which name, for show or in earnest, and how strictly it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import errors, objectmeta
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver import codec, listing
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Request

_POLICIES = ("Foreground", "Background", "Orphan")


def manager_of(request: Request) -> str:
    """The field manager: the parameter, or what the user agent calls itself."""
    if given := request.param("fieldManager"):
        return given
    agent = request.headers.get("User-Agent", "").split("/", 1)[0]
    return agent[:128] if agent else "unknown"


def write_context(request: Request, options_kind: str, applying: bool = False) -> Context:
    dry = request.query.get("dryRun", ())
    validation = request.param("fieldValidation")
    problems: list[FieldError] = []
    manager = request.param("fieldManager")
    if applying and not manager:
        problems.append(errors.required("fieldManager", "is required for apply patch"))
    if options_kind == "PatchOptions" and not applying and "force" in request.query:
        problems.append(errors.field_forbidden("force", "may not be specified for non-apply patch"))
    problems += objectmeta.check_manager(manager, "fieldManager")
    if any(value != "All" for value in dry):
        problems.append(errors.not_supported("dryRun", list(dry), ("All",)))
    if validation not in ("", "Ignore", "Warn", "Strict"):
        problems.append(errors.not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if problems:
        raise errors.invalid_object(options_kind, "", problems, "meta.k8s.io")
    given: Obj = {"kind": options_kind, "apiVersion": "meta.k8s.io/v1"}
    given |= {"dryRun": list(dry)} if dry else {}
    given |= {"fieldManager": manager} if manager else {}
    given |= {"fieldValidation": validation} if validation else {}
    return Context(
        request.catalog,
        user=request.user,
        options=given,
        dry_run=bool(dry),
        manager=manager_of(request),
        field_validation=validation or "Warn",
        version=request.served.api_version,
        warnings=request.warnings,
    )


async def delete_context(request: Request) -> Context:
    """DeleteOptions from the body or, without one, from the query."""
    body = await codec.read_options(request)
    options: Obj = body if body is not None else _query_options(request)
    check_delete(options)
    options = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", **options}
    return Context(
        request.catalog,
        user=request.user,
        options=options,
        dry_run=bool(options.get("dryRun")),
        manager=manager_of(request),
        version=request.served.api_version,
        warnings=request.warnings,
    )


def check_delete(options: Obj) -> None:
    """Raises Invalid for DeleteOptions that say what nobody can do."""
    problems: list[FieldError] = []
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(errors.invalid("propagationPolicy", policy, text))
    if policy is not None and policy not in _POLICIES:
        problems.append(errors.not_supported("propagationPolicy", policy, (*_POLICIES, "nil")))
    dry = options.get("dryRun") or []
    if any(value != "All" for value in dry):
        problems.append(errors.not_supported("dryRun", dry, ("All",)))
    if problems:
        raise errors.invalid_object("DeleteOptions", "", problems, "meta.k8s.io")


_QUERY: dict[str, Callable[[str], Any]] = {
    "gracePeriodSeconds": listing.int64,
    "propagationPolicy": str,
    "orphanDependents": lambda text: text.lower() not in ("0", "false"),
}


def _query_options(request: Request) -> Obj:
    """The options of a DELETE without a body: an empty value counts but for the preconditions, as it does upstream."""
    options: Obj = {key: read(request.param(key)) for key, read in _QUERY.items() if key in request.query}
    if "dryRun" in request.query:
        options["dryRun"] = list(request.query["dryRun"])
    if pinned := {key: text for key in ("uid", "resourceVersion") if (text := request.param(key))}:
        options["preconditions"] = pinned
    return options
