"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, field

from apimachinery import errors, patch
from apimachinery.kinds import MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION, Kind
from apimachinery.objects import Obj, copy
from controlplane.apiserver.admission.plugin import Needs, Plugin, Wait
from controlplane.apiserver.admission.policies.conditions import Unclear, hold
from controlplane.apiserver.admission.policies.naming import Asked
from controlplane.apiserver.admission.showing import both, seen
from controlplane.apiserver.admission.taking import internal, take_over
from controlplane.apiserver.admission.webhooks import measures, review
from controlplane.apiserver.admission.webhooks.caller import Caller, CallError
from controlplane.apiserver.admission.webhooks.hooks import (
    EXEMPT,
    GROUP,
    Hook,
    Hooks,
    Invocation,
)
from controlplane.apiserver.admission.webhooks.review import ReviewError, Verdict
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.expressions.compiling import Scope
from controlplane.apiserver.expressions.evaluating import Naming
from controlplane.apiserver.maintained.keeping import SELF

log = logging.getLogger(__name__)

# What all webhooks of one request may take together: as long as upstream gives a request.
_ALL_SECONDS = 60.0
_AUDIT = "webhook.admission.k8s.io"


class Unanswered(Exception):
    """A webhook could not be asked, or its answer is none: what its failure policy is about."""


class _Webhooks(Plugin):
    """What both sorts share: whom to ask about a request, and how."""

    sort: str
    configurations: Kind

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._hooks = Hooks(needs.registry.catalog)
        self._caller = Caller(needs.registry)
        needs.lifecycle.push(f"{self.sort} webhooks", self._caller.close)
        needs.registry.subscribe(self.configurations, self._hooks.changed)

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return not (kind.group == GROUP and kind.kind in EXEMPT)

    def _about(self, admission: Admission) -> tuple[Kind, tuple[Invocation, ...]]:
        """The kind as the client speaks it, and whose rules speak of such requests; selectors are not looked at yet."""
        requested = self.registry.catalog.find(admission.version, admission.kind.kind) or admission.kind
        found = self._hooks.about(requested, admission.subresource, admission.operation)
        # What every cluster has, the server makes itself, also while its webhooks' pods do not run yet.
        return requested, () if admission.user is SELF else found

    def _selected(self, hook: Hook, admission: Admission) -> bool:
        """Raises NotFound for a namespace that is not there."""
        return hook.selected(admission, self.registry)

    async def _met(self, one: Invocation, admission: Admission, requested: Kind) -> bool:
        """Whether a hook's conditions hold. Raises Forbidden where that cannot be told and it fails closed, and
        as _shown() does.
        """
        hook = one.hook
        if not hook.conditions:
            return True
        await self._shown(one, admission)
        asked = Asked(admission, requested, self.needs)
        naming = Naming(await asked.names(one.kind, namespace=False))
        try:
            return await hold(hook.conditions, Scope(), naming, asked, hook.fails_open)
        except Unclear as error:
            log.warning("failing closed: conditions of webhook %s: %s", hook.name, error)
            raise errors.forbidden(
                admission.kind.plural, admission.given_name, str(error), admission.kind.group
            ) from error

    async def _shown(self, one: Invocation, admission: Admission) -> tuple[Obj | None, Obj | None]:
        """The objects as a hook wants them. Raises InternalError, whatever the hook's failure policy."""
        try:
            return await both(admission, one.kind, self.registry.catalog)
        except errors.ApiError as error:
            raise internal(error.message) from error

    async def _ask(self, one: Invocation, admission: Admission, requested: Kind, seconds: float) -> Verdict:
        """Raises Unanswered, and ApiError for a refusal or a dry run that the hook cannot bear; as _shown() does."""
        hook = one.hook
        if admission.dry_run and hook.side_effects not in ("None", "NoneOnDryRun"):
            raise errors.BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        uid, objects = str(uuid.uuid4()), await self._shown(one, admission)
        try:
            version = review.version_of(hook.versions)
            asked = review.ask(admission, requested, one.kind, uid, version, objects)
            answer = await self._caller.post(hook.target, asked, min(hook.seconds, seconds))
            verdict = review.understand(answer, uid, version, mutating=self.sort == measures.ADMIT)
        except CallError as error:
            raise Unanswered(f"failed to call webhook: {error}") from error
        except ReviewError as error:
            raise Unanswered(str(error)) from error
        admission.warnings.extend(verdict.warnings)
        for key, value in verdict.annotations.items():
            admission.annotations[f"{hook.name}/{key}"] = value
        if not verdict.allowed:
            raise review.rejection(hook.name, verdict.result)
        return verdict

    async def _judged(self, one: Invocation, admission: Admission, requested: Kind, seconds: float) -> Verdict | None:
        """The verdict, None when there is none and the hook fails open. Raises ApiError."""
        hook = one.hook
        measure = measures.Call(hook.name, self.sort, admission.operation)
        try:
            verdict = await self._ask(one, admission, requested, seconds)
        except Unanswered as error:
            text = f'failed calling webhook "{hook.name}": {error}'
            if hook.fails_open:
                measure.failed_open()
                log.warning("failing open: %s", text)
                admission.annotations[f"failed-open.{self.sort}.{_AUDIT}/{hook.name}"] = hook.name
                return None
            measure.rejected("calling_webhook_error", 500)
            log.warning("failing closed: %s", text)
            message = f"Internal error occurred: {text}"
            raise errors.InternalError(message, details={"causes": [{"message": text}]}) from error
        except errors.ApiError as error:
            measure.rejected("no_error", error.status_code)
            raise
        measure.passed()
        return verdict


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    sort = measures.VALIDATING
    configurations = VALIDATING_WEBHOOK_CONFIGURATION

    def validate(self, admission: Admission) -> Wait:
        requested, found = self._about(admission)
        asked = [one for one in found if self._selected(one.hook, admission)]
        return self._all(asked, admission, requested) if asked else None

    async def _all(self, selected: list[Invocation], admission: Admission, requested: Kind) -> None:
        """Ask all at once. Raises the first refusal, in the order of the webhooks."""
        asked = [one for one in selected if await self._met(one, admission, requested)]
        for one in asked:
            # A webhook that converts for several of them is asked once.
            await self._shown(one, admission)
        calls = [self._judged(one, admission, requested, _ALL_SECONDS) for one in asked]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refusal = next((one for one in answers if isinstance(one, BaseException)), None)
        if refusal is not None:
            try:
                raise refusal
            finally:
                # It keeps this frame, and with it all that was written, until a collector comes by.
                del answers, refusal


@dataclass
class _Memory:
    """What a request's mutating webhooks have done: who may be asked again, who has to, and what they left."""

    invoked: set[tuple[str, str, int]] = field(default_factory=set)
    again: set[tuple[str, str, int]] = field(default_factory=set)
    left: Obj | None = None

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked.clear()


class MutatingAdmissionWebhook(_Webhooks):
    name = "MutatingAdmissionWebhook"
    sort = measures.ADMIT
    configurations = MUTATING_WEBHOOK_CONFIGURATION

    def admit(self, admission: Admission) -> Wait:
        requested, found = self._about(admission)
        return self._in_turn(found, admission, requested) if found else None

    async def _in_turn(self, found: tuple[Invocation, ...], admission: Admission, requested: Kind) -> None:
        memory = admission.memory.setdefault(self.name, _Memory())
        assert isinstance(memory, _Memory)
        if admission.again and admission.obj != memory.left:
            memory.changed()
        loop = asyncio.get_running_loop()
        end = loop.time() + _ALL_SECONDS
        for one in found:
            if admission.again and one.hook.key not in memory.again:
                continue
            # What the hooks before it did may have brought the object into its sight, or out of it.
            if not self._selected(one.hook, admission) or not await self._met(one, admission, requested):
                continue
            verdict = await self._judged(one, admission, requested, max(0.1, end - loop.time()))
            if verdict is not None and verdict.patch and await self._patched(one, admission, verdict):
                memory.changed()
                admission.changed = admission.reinvoke = True
            if one.hook.reinvoked:
                memory.invoked.add(one.hook.key)
        memory.left = copy(admission.obj) if admission.obj is not None else None

    async def _patched(self, one: Invocation, admission: Admission, verdict: Verdict) -> bool:
        """Apply a webhook's patch to the object in place; whether that changed it. Raises ApiError."""
        hook = one.hook
        if verdict.patch_type != "JSONPatch":
            raise internal(f'failed calling webhook "{hook.name}": unsupported patch type "{verdict.patch_type}"')
        try:
            operations = patch.decode_json_patch(verdict.patch)
        except errors.ApiError as error:
            text = f"received undecodable patch in webhook response: {error.message}"
            raise internal(f'failed calling webhook "{hook.name}": {text}') from error
        if not operations:
            return False
        if admission.obj is None:
            why = "attempted to modify the object, which is not supported for this operation"
            raise internal(f'admission webhook "{hook.name}" {why}')
        shown = await seen(admission, admission.obj, one.kind, self.registry.catalog)
        try:
            new = patch.json_patch(copy(shown or {}), operations)
        except errors.ApiError as error:
            raise internal(error.message) from error
        before = copy(admission.obj)
        await take_over(self.registry, one.kind, admission, new)
        return admission.obj != before
