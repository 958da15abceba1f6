"""Certificate signing requests: what is asked for stands, verdicts and failures carry their time."""

from __future__ import annotations

from apimachinery.timestamps import format_time, now
from controlplane.apiserver.registry.strategy import keep_spec
from controlplane.apiserver.request import Obj
from controlplane.apiserver.strategies.rows import Rows
from controlplane.apiserver.validation import certificates, flowcontrol


def changed(new: Obj, old: Obj) -> None:
    """The request itself never changes."""
    new["spec"] = old["spec"]


def status(new: Obj, old: Obj) -> None:
    keep_spec(new, old)
    date_conditions(new, old)


def date_conditions(new: Obj, old: Obj) -> None:
    """Conditions that come without a time get one; a standing status keeps the time it began."""
    known = {c.get("type"): c for c in (old.get("status") or {}).get("conditions") or ()}
    moment = format_time(now())
    for condition in (new.get("status") or {}).get("conditions") or ():
        before = known.get(condition.get("type")) or {}
        if not condition.get("lastTransitionTime"):
            stands = before.get("status") == condition.get("status") and before.get("lastTransitionTime")
            condition["lastTransitionTime"] = stands or moment
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = moment


ROWS: Rows = {
    "certificatesigningrequests.certificates.k8s.io": {
        "prepare_update": changed,
        "prepare_status": status,
        "validate": certificates.request,
        "validate_update": lambda new, old: certificates.request(new),
        "validate_status": certificates.status,
        "validate_approval": certificates.approval,
    },
    "flowschemas.flowcontrol.apiserver.k8s.io": {
        "validate": flowcontrol.schema,
        "validate_update": lambda new, old: flowcontrol.schema(new),
    },
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {
        "validate": flowcontrol.level,
        "validate_update": lambda new, old: flowcontrol.level(new),
    },
    "apiservices.apiregistration.k8s.io": {
        "validate": flowcontrol.service,
        "validate_update": lambda new, old: flowcontrol.service(new),
    },
}
