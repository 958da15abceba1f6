"""Who may say what about devices: administrators' access by the namespace's label, a claim's status by its parts.

Sources: KEP-5018 (admin access), KEP-4817 (status of devices), and upstream's checks of a claim's status, which the
subresources `binding` and `driver` stand for in policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.kinds import NAMESPACE
from apimachinery.objects import Obj, labels
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn.user import NODE_NAME, split_service_account
from controlplane.apiserver.authz.chain import Chain, refusal
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Attributes, User
from controlplane.apiserver.rules.devices.allocation import identity

_LABEL = "resource.kubernetes.io/admin-access"


def check_spec(registry: Registry, step: Admission) -> None:
    """A new claim or template. Raises Invalid."""
    spec = (step.obj or {}).get("spec") or {}
    spec = spec.get("spec") or {} if step.kind.plural == "resourceclaimtemplates" else spec
    requests = (spec.get("devices") or {}).get("requests") or ()
    wanted = [(request.get("exactly") or {}).get("adminAccess") for request in requests]
    _raise(step, _of_administrators(registry, step, "spec.devices.requests", wanted))


def check_status(registry: Registry, chain: Chain, step: Admission) -> None:
    """A changed status of a claim. Raises Invalid."""
    new, old = ((obj or {}).get("status") or {} for obj in (step.obj, step.old))
    found: list[FieldError] = []
    if not any(map(bool, _access(old))):
        found += _of_administrators(registry, step, "status.allocation.devices.results", _access(new))
    found += _binding(chain, step, new, old)
    if new.get("allocation"):
        found += _devices(chain, step, new, old)
    _raise(step, found)


def _access(status: Obj) -> list[bool | None]:
    devices = (status.get("allocation") or {}).get("devices") or {}
    return [result.get("adminAccess") for result in devices.get("results") or ()]


def _of_administrators(
    registry: Registry, step: Admission, path: str, wanted: Sequence[bool | None]
) -> Iterator[FieldError]:
    first = next((index for index, each in enumerate(wanted) if each), None)
    if first is None:
        return
    namespace = registry.find(NAMESPACE, "", step.namespace) or {}
    if labels(namespace).get(_LABEL) != "true":
        text = f"admin access to devices requires the `{_LABEL}: true` label on the containing namespace"
        yield errors.field_forbidden(f"{path}[{first}].adminAccess", text)


def _binding(chain: Chain, step: Admission, new: Obj, old: Obj) -> Iterator[FieldError]:
    if all((new.get(part) or None) == (old.get(part) or None) for part in ("allocation", "reservedFor")):
        return
    verb = _verb(step)
    wanted = Attributes(
        verb=verb, group=step.kind.group, version=step.kind.version, resource=step.kind.plural, subresource="binding"
    )
    if (why := _refused(chain, step.user, wanted)) is not None:
        text = f'requires resource="resourceclaims/binding", verb="{verb}" permission: {why}'
        yield errors.field_forbidden("status.allocation", f"changing status.allocation or status.reservedFor {text}")


def _devices(chain: Chain, step: Admission, new: Obj, old: Obj) -> Iterator[FieldError]:
    """For each driver whose devices change: the verb for any node, or for the one where writer and claim both are."""
    verbs = [f"arbitrary-node:{_verb(step)}"]
    if _is_on(step.user, _node(new.get("allocation") or {})):
        verbs.insert(0, f"associated-node:{_verb(step)}")
    for driver in sorted(_changed(new, old)):
        asked = [
            Attributes(
                verb=verb,
                group=step.kind.group,
                version=step.kind.version,
                resource=step.kind.plural,
                subresource="driver",
                namespace=step.namespace,
                name=driver,
            )
            for verb in verbs
        ]
        refusals = [_refused(chain, step.user, wanted) for wanted in asked]
        if None not in refusals:
            text = f'requires resource="resourceclaims/driver", verb="[{" ".join(verbs)}]" permission: {refusals[0]}'
            yield errors.field_forbidden("status.devices", f"changing status.devices {text}")


def _changed(new: Obj, old: Obj) -> set[str]:
    """Drivers whose devices came, went or changed."""
    now, before = ({identity(device): device for device in status.get("devices") or ()} for status in (new, old))
    return {key[0] for key in {*now, *before} if now.get(key) != before.get(key)}


def _node(allocation: Obj) -> str:
    """The one node that an allocation is for; "" where it is for others, too."""
    terms = (allocation.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if len(terms) != 1 or terms[0].get("matchExpressions") or len(fields := terms[0].get("matchFields") or []) != 1:
        return ""
    names = fields[0].get("values") or []
    by_name = (fields[0].get("key"), fields[0].get("operator")) == ("metadata.name", "In") and len(names) == 1
    return str(names[0]) if by_name else ""


def _is_on(user: User, node: str) -> bool:
    """Whether the user is a service account on that node."""
    on = user.extra.get(NODE_NAME) == (node,) and not formats.dns1123_subdomain(node)
    return bool(node) and on and split_service_account(user.name) is not None


def _verb(step: Admission) -> str:
    return "patch" if step.options.get("kind") == "PatchOptions" else "update"


def _refused(chain: Chain, user: User, wanted: Attributes) -> str | None:
    decision = chain.decide(user, wanted)
    return None if decision.allowed else refusal(user, wanted, decision.reason).message


def _raise(step: Admission, problems: Iterator[FieldError] | list[FieldError]) -> None:
    if found := list(problems):
        raise errors.invalid_object(step.kind.kind, step.name, found, step.kind.group)
