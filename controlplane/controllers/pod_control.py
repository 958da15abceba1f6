"""Creating and deleting pods for an owner, each write expected, each told as an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.kinds import POD
from apimachinery.objects import (
    Obj,
    controller_of,
    copy,
    is_deleting,
    key,
    name,
    namespace,
    owner_reference,
    uid,
)
from controlplane.controllers.context import Context, generated_name
from controlplane.controllers.expectations import Expectations
from controlplane.controllers.replicaset.plan import Failure, PodView, batches


def from_template(owner: Obj, template: Obj, pod_name: str, base: str) -> Obj:
    """The pod of a template: its labels, annotations, finalizers and spec, controlled by `owner`."""
    source = copy(template)
    meta = source.get("metadata") or {}
    metadata: Obj = {"name": pod_name, "generateName": base, "namespace": namespace(owner)}
    metadata.update({key: meta[key] for key in ("labels", "annotations", "finalizers") if meta.get(key)})
    metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": source.get("spec") or {}}


# Requests under way at once: more would only open more connections, each with its handshake.
ABREAST = 16


@dataclass(frozen=True)
class Words:
    """What events tell of a pod's creation and deletion; {pod}, {owner} and {error} are filled in."""

    created: str
    not_created: str
    deleted: str
    not_deleted: str


PLAIN = Words("Created pod: {pod}", "Error creating: {error}", "Deleted pod: {pod}", "Error deleting: {error}")


class PodControl:
    """Writes pods on behalf of owners."""

    def __init__(self, context: Context, expectations: Expectations, words: Words = PLAIN) -> None:
        self._words = words
        self._context = context
        self._expectations = expectations
        self._abreast = asyncio.Semaphore(ABREAST)

    async def create(self, owner: Obj, template: Obj, count: int) -> Failure | None:
        """Create pods in growing batches; the first batch with a failure is the last."""
        base = name(owner) + "-"
        for size in batches(count):
            work = []
            for _ in range(size):
                pod = from_template(owner, template, generated_name(base), base)
                work.append(self.create_one(owner, pod))
            failure = next((f for f in await asyncio.gather(*work) if f), None)
            if failure is not None:
                return failure
        return None

    async def create_one(self, owner: Obj, pod: Obj) -> Failure | None:
        """Create one pod whose name is already chosen."""
        key = f"{namespace(owner)}/{name(pod)}"
        self._expectations.creating(uid(owner), key)
        recorder = self._context.recorder
        try:
            async with self._abreast:
                await self._context.client.create(POD, pod)
        except errors.ApiError as error:
            self._expectations.created(uid(owner), key)
            if is_namespace_going(error):
                return Failure("", "")
            if not isinstance(error, errors.AlreadyExists):
                text = self._words.not_created.format(pod=name(pod), owner=name(owner), error=error)
                recorder.event(owner, "Warning", "FailedCreate", text)
            return Failure("FailedCreate", str(error))
        except errors.Unreachable as error:
            # It may exist: the expectation stays until the cache or the API server says.
            return Failure("FailedCreate", str(error))
        text = self._words.created.format(pod=name(pod), owner=name(owner))
        recorder.event(owner, "Normal", "SuccessfulCreate", text)
        return None

    async def delete(self, owner: Obj, views: tuple[PodView, ...]) -> Failure | None:
        """Delete pods, all at once."""
        results = await asyncio.gather(*(self._delete_one(owner, view) for view in views))
        return next((failure for failure in results if failure), None)

    async def _delete_one(self, owner: Obj, view: PodView) -> Failure | None:
        self._expectations.deleting(uid(owner), view.uid, f"{namespace(owner)}/{view.name}")
        recorder = self._context.recorder
        try:
            async with self._abreast:
                await self._context.client.delete(POD, view.name, namespace(owner), uid=view.uid)
        except (errors.NotFound, errors.Conflict):
            # Gone, or another pod by now.
            self._expectations.deleted(uid(owner), view.uid)
            return None
        except errors.ApiError as error:
            self._expectations.deleted(uid(owner), view.uid)
            text = self._words.not_deleted.format(pod=view.name, owner=name(owner), error=error)
            recorder.event(owner, "Warning", "FailedDelete", text)
            return Failure("FailedDelete", str(error))
        except errors.Unreachable as error:
            return Failure("FailedDelete", str(error))
        text = self._words.deleted.format(pod=view.name, owner=name(owner))
        recorder.event(owner, "Normal", "SuccessfulDelete", text)
        return None


def is_namespace_going(error: errors.ApiError) -> bool:
    """Whether a creation was refused because its namespace is being deleted."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def watch_pods(
    expectations: Expectations, kind: str, enqueue: Callable[[str], None]
) -> Callable[[Obj | None, Obj | None], None]:
    """A pod handler: note what was expected and enqueue the owners of `kind` by key."""

    def owner_key(pod: Obj) -> tuple[str, str] | None:
        reference = controller_of(pod)
        if reference is None or reference.get("kind") != kind:
            return None
        return str(reference["uid"]), f"{namespace(pod)}/{reference['name']}"

    def handle(old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            owner = owner_key(pod) if pod is not None else None
            if pod is None or owner is None:
                continue
            if pod is new:
                expectations.created(owner[0], key(pod))
            if (pod is not new and new is None) or is_deleting(pod) or (new is not None and uid(pod) != uid(new)):
                expectations.deleted(owner[0], uid(pod))
            enqueue(owner[1])

    return handle
