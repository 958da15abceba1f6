"""The stages of a pod that ends: stopped, released, finished, cleaned."""

from __future__ import annotations

import asyncio

from agent import podspec
from agent.cri.errors import CriError, CriUnavailable
from agent.pods.life import Life
from agent.pods.lifecycle import Stage


async def terminate(life: Life) -> None:
    """Stop what runs. Asked again with less patience (`hurry`), the stop under way is given up for a quicker one."""
    life.tell(life.record)
    override = life.report.verdict.grace if life.report.verdict is not None else None
    killing = asyncio.get_running_loop().create_task(life.shared.killer.pod(life.pod, life.record, override))
    life.killing = killing
    try:
        await asyncio.wait((killing,))
        if killing.cancelled():
            life.wake.set()
            return
        killing.result()
    except CriUnavailable:
        raise
    except CriError as error:
        life.shared.reporter.pod(life.pod, "Warning", "FailedKillPod", f"error killing pod: {error}")
        raise
    finally:
        life.killing = None
        if not killing.done():
            killing.cancel()
            await asyncio.wait((killing,))
    if life.record.running:
        # Something appeared while the rest was stopped.
        life.wake.set()
        return
    # Before anybody is told that it ended: then its devices may be given to another.
    await life.shared.devices.unprepare(life.uid)
    await life.shared.plugins.release(life.uid)
    life.report.waiting.clear()
    life.tell(life.record, terminal=True)
    life.shared.probes.forget(life.uid)
    life.stopped.set()
    life.to(Stage.TERMINATED)


def hurry(life: Life) -> None:
    """Give up the stop under way: the next one has less time."""
    if life.killing is not None:
        life.killing.cancel()


async def release(life: Life) -> None:
    """Let go of volumes and cgroups."""
    await life.shared.volumes.teardown(life.uid)
    cgroups = life.shared.cgroups
    if cgroups is not None and not cgroups.remove_pod(life.uid):
        # The kernel lets go of a cgroup a moment after its last process, and nobody need wait for it. What else is
        # in there is in no container that the runtime knows.
        cgroups.end_pod(life.uid)
        asyncio.get_running_loop().call_later(1.0, cgroups.remove_pod, life.uid)
    life.to(Stage.FINISHED)


async def finish(life: Life) -> None:
    """Nothing runs. A deleted pod's object is let go, and what it left is cleaned; a finished one keeps its containers
    for their logs until it is deleted.
    """
    if not (podspec.deleting(life.pod) or life.removed):
        return
    if not life.removed:
        life.shared.statuses.release(life.pod)
    await life.shared.cleaner.clean(life.pod)
    life.to(Stage.CLEANED)


async def rest(life: Life) -> None:
    """Until it leaves its source."""
