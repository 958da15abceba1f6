"""pods/NAME/eviction: a deletion that asks the pod's disruption budget first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from apimachinery import errors, selectors
from apimachinery.kinds import POD, POD_DISRUPTION_BUDGET
from apimachinery.objects import Obj, condition_holds
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import body
from controlplane.apiserver.options import check_delete
from controlplane.apiserver.registry import conflicts
from controlplane.apiserver.request import Answer, Request, User
from controlplane.apiserver.reviewing import admitted

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# Evictions a budget remembers until its controller has seen them; more means that the controller is not
# running.
DISRUPTED_LIMIT = 2000
RETRY_SECONDS = 10
ROUNDS = 20
ALLOWED = "DisruptionAllowed"
# The version of the body's type that clients of earlier days send; the newer one is answered alike.
OLDER = "policy/v1beta1"
UNREADABLE = "ignoreStoreReadErrorWithClusterBreakingPotential"
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
MORE_THAN_ONE = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


class Evictions:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def create(self, request: Request) -> Answer:
        dry = body.is_dry_run(request)
        eviction = await admitted(request, body.EVICTION, self._registry.admit_part, (POD, "eviction"), (OLDER,))
        if eviction["metadata"].get("name") != request.name:
            raise errors.BadRequest("name in URL does not match name in Eviction object")
        options = {k: v for k, v in (eviction.get("deleteOptions") or {}).items() if v is not None}
        if options.get(UNREADABLE):
            why = "can not be set for pod eviction, try after removing the option"
            problem = errors.invalid(f"deleteOptions.{UNREADABLE}", True, why)
            raise errors.invalid_object("Eviction", request.name, [problem], "policy")
        # Whatever the body names there keeps the pod, as upstream has it.
        named = options.get("dryRun") or []
        if named and dry and named != ["All"]:
            shown = " ".join(named)
            raise errors.ApiError(f"Non-matching dry-run options in request and content: [All] and [{shown}]")
        dry = dry or bool(named)
        if not await self._gone_unasked(request, options, dry):
            await self._gone_by_budget(request, options, dry)
        return body.success()

    async def _gone_unasked(self, request: Request, options: Obj, dry: bool) -> bool:
        """Delete a pod that no budget counts; False for one that a budget may be about."""
        for left in reversed(range(ROUNDS)):
            pod = self._registry.get(POD, request.namespace, request.name)
            if not ignores_budget(pod):
                return False
            try:
                await self._delete(request, pod, options if is_over(pod) else as_it_is(options, pod), dry)
                return True
            except errors.Conflict:
                # It became another one in between, and may be one that a budget counts.
                if is_pinned(options) or not left:
                    raise
        raise AssertionError("the last round returns or raises")

    async def _gone_by_budget(self, request: Request, options: Obj, dry: bool) -> None:
        pod = self._registry.get(POD, request.namespace, request.name)
        found = matching(self._registry.items(POD_DISRUPTION_BUDGET, request.namespace), pod)
        if len(found) > 1:
            raise errors.InternalError(MORE_THAN_ONE, reason="")
        if not found or not may_go_unready(found[0], pod):
            if found:
                await self._spend(found[0], pod, request.user, dry)
            return await self._delete(request, pod, options, dry)
        try:
            return await self._delete(request, pod, as_it_is(options, pod), dry)
        except errors.Conflict:
            if is_pinned(options):
                raise
            # Should it be ready by now, the budget counts it.
            raise _processing(found[0]["metadata"]["name"]) from None

    async def _spend(self, budget: Obj, pod: Obj, user: User, dry: bool) -> None:
        name, stamp = pod["metadata"]["name"], format_time(now())
        await self._registry.mutate(
            POD_DISRUPTION_BUDGET,
            pod["metadata"]["namespace"],
            budget["metadata"]["name"],
            lambda budget: spent(budget, name, stamp),
            subresource="status",
            user=user,
            dry_run=dry,
            admitted=True,
        )

    async def _delete(self, request: Request, pod: Obj, options: Obj, dry: bool) -> None:
        if not dry and not pod["metadata"].get("deletionTimestamp"):
            stamp, wanted = format_time(now()), options.get("preconditions") or {}
            last = await self._registry.mutate(
                POD,
                request.namespace,
                request.name,
                lambda p: marked(p, wanted, stamp),
                subresource="status",
                user=request.user,
                admitted=True,
            )
            if wanted.get("resourceVersion"):
                # The mark was a write of its own: the deletion holds to what it left.
                held = {**wanted, "resourceVersion": str(last.revision)}
                options = {**options, "preconditions": held}
        # Upstream looks at them where it deletes, when the mark is made already.
        check_delete(options)
        await self._registry.delete(
            POD, request.namespace, request.name, user=request.user, options=options, dry_run=dry
        )


def is_over(pod: Obj) -> bool:
    """Whether a pod serves nobody any more."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended or bool(pod["metadata"].get("deletionTimestamp"))


def ignores_budget(pod: Obj) -> bool:
    """Pods that serve nobody any more, or not yet, may always go."""
    return is_over(pod) or (pod.get("status") or {}).get("phase") == "Pending"


def is_pinned(options: Obj) -> bool:
    """Whether the client itself said at which resourceVersion the pod may go."""
    return (options.get("preconditions") or {}).get("resourceVersion") is not None


def as_it_is(options: Obj, pod: Obj) -> Obj:
    """The options to delete a pod only as long as it is what it was found to be."""
    if is_pinned(options):
        return options
    preconditions = {**(options.get("preconditions") or {}), "resourceVersion": pod["metadata"]["resourceVersion"]}
    return {**options, "preconditions": preconditions}


def matching(budgets: Iterable[Obj], pod: Obj) -> list[Obj]:
    """The budgets whose selector takes this pod in (an empty selector takes all, none takes nothing)."""
    labels = pod["metadata"].get("labels") or {}
    return [
        b
        for b in budgets
        if (b.get("spec") or {}).get("selector") is not None
        and selectors.from_label_selector(b["spec"]["selector"]).matches(labels)
    ]


def may_go_unready(budget: Obj, pod: Obj) -> bool:
    """Whether an unready pod may go without spending the budget (KEP-3017)."""
    if condition_holds(pod, "Ready"):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return bool(0 < status.get("desiredHealthy", 0) <= status.get("currentHealthy", 0))


def spent(budget: Obj, pod: str, stamp: str) -> Obj:
    """The budget with one disruption less. Raises TooManyRequests when there is none to spend."""
    name, status = budget["metadata"]["name"], budget.setdefault("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _processing(name)
    disrupted = status.get("disruptedPods") or {}
    left = status.get("disruptionsAllowed", 0)
    if left < 0:
        raise errors.forbidden("poddisruptionbudget", name, "pdb disruptions allowed is negative", "policy")
    if len(disrupted) > DISRUPTED_LIMIT:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudget", name, text, "policy")
    if left == 0:
        raise _refused(f"The disruption budget {name} {_why_not(status)}")
    status["disruptionsAllowed"] = left - 1
    status["disruptedPods"] = {**disrupted, pod: stamp}
    if left == 1:
        _exhausted(status, budget["metadata"].get("generation", 0), stamp)
    return budget


def _why_not(status: Obj) -> str:
    """Why a budget has nothing to spend."""
    found: Obj = next((c for c in status.get("conditions") or () if c.get("type") == ALLOWED), {})
    told = found.get("message") if found.get("status") == "False" else ""
    if told and found.get("reason") == "SyncFailed":
        return f"does not allow evicting pods currently because it failed sync: {told}"
    wanted, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    if healthy <= wanted:
        return f"needs {wanted} healthy pods and has {healthy} currently"
    reason = f" ({found.get('reason')}): {told}" if told else ""
    return f"does not allow evicting pods currently{reason}"


def _exhausted(status: Obj, generation: int, stamp: str) -> None:
    others = [c for c in status.get("conditions") or () if c.get("type") != ALLOWED]
    old: Obj = next((c for c in status.get("conditions") or () if c.get("type") == ALLOWED), {})
    since = old.get("lastTransitionTime") if old.get("status") == "False" else stamp
    condition: Obj = {"type": ALLOWED, "status": "False", "observedGeneration": generation}
    condition |= {"lastTransitionTime": since, "reason": "InsufficientPods", "message": ""}
    status["conditions"] = [*others, condition]


def _processing(name: str) -> errors.TooManyRequests:
    return _refused(f"The disruption budget {name} is still being processed by the server.", RETRY_SECONDS)


def _refused(text: str, retry_after: int | None = None) -> errors.TooManyRequests:
    details = {"causes": [{"reason": "DisruptionBudget", "message": text}]}
    return errors.TooManyRequests(REFUSED, details=details, retry_after=retry_after)


def marked(pod: Obj, wanted: Obj, stamp: str) -> Obj:
    """The pod with the condition that tells why it goes (KEP-3329).

    `wanted` are the preconditions of the deletion to come. Raises Conflict when they do not hold.
    """
    conflicts.check_preconditions(POD, pod, {"preconditions": wanted})
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [c for c in conditions if c.get("type") != "DisruptionTarget"]
    conditions.append(
        {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": stamp,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
    )
    return pod
