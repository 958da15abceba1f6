"""Ending a pod for a reason that is not its own: said in a DisruptionTarget condition (KEP-3329), then deleted."""

from __future__ import annotations

import contextlib

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.kinds import POD
from apimachinery.objects import Obj, name, namespace, uid
from apimachinery.timestamps import format_time, now


async def end(
    client: Client, pod: Obj, reason: str = "", message: str = "", *, phase: str = "", grace_period: int | None = None
) -> None:
    """`reason` "": no condition; `phase`: what the pod is in from now on. One that is gone, or another of its name by
    now, is left alone. Raises ApiError, Unreachable.
    """
    status: Obj = {"phase": phase} if phase else {}
    if reason:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": reason,
            "message": message,
            "observedGeneration": pod["metadata"].get("generation") or 0,
            "lastTransitionTime": format_time(now()),
        }
        status["conditions"] = [condition]
    with contextlib.suppress(errors.NotFound, errors.Conflict):
        if status:
            patch = {"metadata": {"uid": uid(pod)}, "status": status}
            await client.patch(
                POD, name(pod), patch, namespace(pod), subresource="status", patch_type=PatchType.STRATEGIC
            )
        await client.delete(POD, name(pod), namespace(pod), uid=uid(pod), grace_period=grace_period)
