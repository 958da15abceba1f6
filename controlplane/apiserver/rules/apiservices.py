"""APIServices: groups that other servers serve."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import PORT_RANGE
from controlplane.apiserver.rules.words import any_form, enum, form, hook, required

_NO_GROUP = "only v1 may have an empty group and it better be legacy kube"


def _name(service: Obj, at: Place) -> Iterator[FieldError]:
    """It says which group and version it is; of one that cannot be a name at all there is enough said. A name to be
    generated never says it.
    """
    spec = service["spec"]
    wanted = f"{spec.get('version') or ''}.{spec.get('group') or ''}"
    for field in ("generateName", "name"):
        title = service["metadata"].get(field) or ""
        if title and not path_segment(title) and title != wanted:
            yield errors.invalid(f"metadata.{field}", title, f'must be `spec.version+"."+spec.group`: "{wanted}"')


def _group(spec: Obj, at: Place) -> Iterator[FieldError]:
    if not spec.get("group") and spec.get("version") != "v1":
        yield errors.required(at.to("group"), _NO_GROUP)


def _priorities(spec: Obj, at: Place) -> Iterator[FieldError]:
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            yield errors.invalid(at.to(field), value, f"must be positive and less than {most}")


def _trust(spec: Obj, at: Place) -> Iterator[FieldError]:
    """Whom to trust is a matter of other servers alone."""
    bundle, trusting = spec.get("caBundle") or "", bool(spec.get("insecureSkipTLSVerify"))
    local = spec.get("service") is None
    if local and bundle:
        size = len(bundle) * 3 // 4 - bundle.count("=")
        yield errors.invalid(at.to("caBundle"), f"{size} bytes", "local APIServices may not have a caBundle")
    if local and trusting:
        text = "local APIServices may not have insecureSkipTLSVerify"
        yield errors.invalid(at.to("insecureSkipTLSVerify"), True, text)
    if not local and trusting and bundle:
        yield errors.invalid(at.to("insecureSkipTLSVerify"), True, "may not be true if caBundle is present")


def _port(service: Obj, at: Place) -> Iterator[FieldError]:
    number = service.get("port") or 0
    if not 1 <= number <= 65535:
        yield errors.invalid(at.to("port"), number, f"port is not valid: {PORT_RANGE}")


RULES: dict[str, Row] = {
    "apiregistration.v1.APIService": (hook(_name), inside("spec", always=True)),
    "apiregistration.v1.APIServiceSpec": (
        hook(_group),
        form("group", formats.dns1123_subdomain),
        any_form("version", formats.dns1035_label),
        hook(_priorities),
        "service",
        hook(_trust),
    ),
    "apiregistration.v1.ServiceReference": (required("namespace", "name"), hook(_port)),
    "apiregistration.v1.APIService/status": ("status",),
    "apiregistration.v1.APIServiceStatus": ("conditions",),
    "apiregistration.v1.APIServiceCondition": (enum("status", ("True", "False", "Unknown"), "refuse"),),
}
