"""Jobs and CronJobs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from apimachinery import errors, objects
from apimachinery.kinds import CRON_JOB, JOB, POD
from apimachinery.objects import Obj, controller_of, labels, name, uid
from tests.controlplane.conformance.flows import Flow, owned_by, side_by_side

INDEX = "batch.kubernetes.io/job-completion-index"


def job(**spec: Any) -> Obj:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work:1"}]}
    return {"template": {"metadata": {"labels": {"app": "job"}}, "spec": pod}, **spec}


def indexed(completions: int, **spec: Any) -> Obj:
    return job(completions=completions, completionMode="Indexed", **spec)


async def condition(flow: Flow, kind: str, called: str = "work") -> Obj | None:
    found = (await flow.status(JOB, called)).get("conditions") or ()
    return next((c for c in found if c["type"] == kind and c["status"] == "True"), None)


async def runs(flow: Flow, ends: dict[str, int], until: str, **more: Any) -> Counter[str]:
    """Let each pod end with the exit code of its index; how many ran of each, once the Job has the condition."""
    ran: Counter[str] = Counter()
    ended: set[str] = set()

    async def over() -> bool:
        for pod in flow.pods(app="job"):
            started = (pod.get("status") or {}).get("podIP") and pod["status"].get("phase") == "Running"
            if started and uid(pod) not in ended:
                ended.add(uid(pod))
                index = objects.annotations(pod).get(INDEX, "")
                ran[index] += 1
                code = ends.get(index, 0)
                await flow.end(pod, "Failed" if code else "Succeeded", code, **more)
        return await condition(flow, until) is not None

    await flow.until(over)
    return ran


async def a_job_takes_orphans_in_and_lets_strangers_go(flow: Flow) -> None:
    made = await flow.make(JOB, "work", job(parallelism=2, completions=4))
    first, second = await flow.pods_are(2)
    await flow.patch(POD, name(first), {"metadata": {"ownerReferences": [{"$patch": "replace"}]}})

    def of(pod: Obj) -> Obj:
        return next(p for p in flow.at.pods.items() if uid(p) == uid(pod))

    await flow.until(lambda: owned_by(of(first), made))
    taken = dict.fromkeys(labels(second))
    await flow.patch(POD, name(second), {"metadata": {"labels": {**taken, "app": "other"}}})
    await flow.until(lambda: controller_of(of(second)) is None)
    await flow.pods_are(2, app="job")
    # What was let go is held by no finalizer of the Job's.
    await flow.until(lambda: not of(second)["metadata"].get("finalizers"))


async def the_status_of_a_job_takes_changes(flow: Flow) -> None:
    await flow.make(JOB, "work", job(parallelism=2, completions=4, backoffLimit=6))
    await flow.has(JOB, "work", active=2)
    found = await flow.patch(JOB, "work", {"metadata": {"annotations": {"patchedstatus": "true"}}}, "status")
    assert objects.annotations(found)["patchedstatus"] == "true"
    assert (await flow.client.get(JOB, "work", flow.space, "status"))["status"]["active"] == 2


async def the_life_of_a_job(flow: Flow) -> None:
    await flow.make(JOB, "work", job(suspend=True), labels={"wht": flow.space})
    await flow.until(lambda: condition(flow, "Suspended"))
    assert not flow.pods()
    await flow.patch(JOB, "work", {"metadata": {"labels": {"more": "patched"}}})

    def resume(stored: Obj) -> None:
        stored["metadata"].setdefault("annotations", {})["updated"] = "true"
        stored["spec"]["suspend"] = False

    await flow.update(JOB, "work", resume)
    await flow.pods_are(1)

    async def resumed() -> bool:
        return await condition(flow, "Suspended") is None

    await flow.until(resumed)
    # Of this kind nothing is deleted with the owner unless the client says so.
    await flow.deletes_collection(JOB, f"wht={flow.space}", 1)
    await flow.pods_are(1)


async def each_index_has_tries_of_its_own(flow: Flow) -> None:
    await flow.make(JOB, "work", indexed(4, parallelism=2, backoffLimitPerIndex=1))
    ran = await runs(flow, {"1": 1, "3": 1}, "Failed")
    status = await flow.status(JOB, "work")
    assert (status["failed"], status["succeeded"]) == (4, 2)
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
    assert ran == {"0": 1, "1": 2, "2": 1, "3": 2}
    assert (await condition(flow, "Failed") or {})["reason"] == "FailedIndexes"


async def too_many_failed_indexes_end_a_job(flow: Flow) -> None:
    await flow.make(JOB, "work", indexed(10, parallelism=10, backoffLimitPerIndex=0, maxFailedIndexes=4))
    await runs(flow, {str(number): 1 for number in range(10)}, "Failed")
    assert (await condition(flow, "Failed") or {})["reason"] == "MaxFailedIndexesExceeded"
    assert (await flow.status(JOB, "work")).get("succeeded", 0) == 0


async def a_policy_fails_an_index_at_once(flow: Flow) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
    policy = {"rules": [rule]}
    await flow.make(JOB, "work", indexed(2, parallelism=2, backoffLimitPerIndex=1, podFailurePolicy=policy))
    ran = await runs(flow, {"0": 42}, "Failed")
    assert ran == {"0": 1, "1": 1}
    status = await flow.status(JOB, "work")
    assert (status["failedIndexes"], status["completedIndexes"], status["failed"]) == ("0", "1", 1)


async def disruptions_are_ignored_where_the_policy_says_so(flow: Flow) -> None:
    on = [{"type": "DisruptionTarget", "status": "True"}]
    policy = {"rules": [{"action": "Ignore", "onPodConditions": on}]}
    await flow.make(JOB, "work", job(backoffLimit=0, podFailurePolicy=policy))
    for _ in range(2):
        (pod,) = await flow.pods_are(1)
        evicted = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
        await flow.end(pod, "Failed", 1, conditions=evicted)
        await flow.until(lambda: len([p for p in flow.pods() if p["status"]["phase"] != "Failed"]) == 1)
        for failed in [p for p in flow.pods() if p["status"]["phase"] == "Failed"]:
            await flow.delete(POD, name(failed))
    assert await condition(flow, "Failed") is None
    await runs(flow, {}, "Complete")
    assert (await flow.status(JOB, "work")).get("failed", 0) == 0


async def a_deleted_job_takes_its_pods(flow: Flow) -> None:
    await flow.make(JOB, "work", job(parallelism=2, completions=4))
    await flow.pods_are(2)
    await flow.delete(JOB, "work", propagation="Foreground")
    await flow.gone(JOB, "work")
    await flow.pods_are(0)


async def hooks_of_a_chart_run_one_after_the_other(flow: Flow) -> None:
    """What Helm does with Jobs: each of a moment by its weight, a leftover of its name first taken away, the next one
    and the chart's own objects only after it is complete, and one that fails stays to be looked at.
    """
    hooks = {"delete-policy": "before-hook-creation,hook-succeeded"}
    marks = {f"helm.sh/hook-{key}": value for key, value in {**hooks, "weight": "-5"}.items()}

    async def hook(called: str, code: int = 0) -> bool:
        for leftover in [j for j in await flow.every(JOB) if name(j) == called]:
            await flow.delete(JOB, name(leftover), propagation="Background")
            await flow.gone(JOB, called)
        made = await flow.make(JOB, called, job(backoffLimit=0), annotations={"helm.sh/hook": "pre-install", **marks})
        (pod,) = await flow.until(lambda: [p for p in flow.pods() if owned_by(p, made) and p["status"].get("podIP")])
        await flow.end(pod, "Failed" if code else "Succeeded", code)
        await flow.until(lambda: condition(flow, "Failed" if code else "Complete", called))
        if not code:
            await flow.delete(JOB, called, propagation="Background")
            await flow.gone(JOB, called)
        return not code

    assert await hook("migrate")
    assert not await hook("seed", code=3)
    found = await condition(flow, "Failed", "seed")
    assert found is not None and found["reason"] == "BackoffLimitExceeded"
    # Of the first, whose Job is gone, the pod goes in its own time.
    await flow.until(lambda: [p["status"]["phase"] for p in flow.pods()] == ["Failed"])
    # The next try takes the failed one away, and its pod with it.
    assert await hook("seed")
    await flow.until(lambda: not flow.pods())


def crontab(policy: str, **spec: Any) -> Obj:
    return {
        "schedule": "@every 1s",
        "concurrencyPolicy": policy,
        "jobTemplate": {"spec": job()},
        **spec,
    }


async def active(flow: Flow) -> list[str]:
    return [entry["name"] for entry in (await flow.status(CRON_JOB, "tick")).get("active") or ()]


async def a_suspended_cron_job_rests(flow: Flow) -> None:
    await flow.make(CRON_JOB, "tick", crontab("Allow", suspend=True))
    # Another one, made later, runs meanwhile: the loop has had its time for both.
    await flow.make(CRON_JOB, "other", crontab("Allow"))

    async def ran() -> bool:
        return bool(await flow.every(JOB))

    await flow.until(ran)
    assert {(controller_of(j) or {})["name"] for j in await flow.every(JOB)} == {"other"}
    assert not await active(flow)


async def one_after_the_other(flow: Flow) -> None:
    await flow.make(CRON_JOB, "tick", crontab("Forbid"))
    await flow.until(lambda: active(flow))
    (first,) = await active(flow)

    async def told() -> bool:
        events = (await flow.client.request("GET", f"/api/v1/namespaces/{flow.space}/events"))["items"]
        return any(e["reason"] == "JobAlreadyActive" for e in events)

    await flow.until(told)
    assert await active(flow) == [first] == [name(j) for j in await flow.every(JOB)]


async def the_newer_replaces_the_older(flow: Flow) -> None:
    await flow.make(CRON_JOB, "tick", crontab("Replace"))
    (first, *_) = await flow.until(lambda: active(flow))

    async def replaced() -> bool:
        now = await active(flow)
        return bool(now) and first not in now

    await flow.until(replaced)
    await flow.gone(JOB, first)


async def several_run_side_by_side(flow: Flow) -> None:
    await flow.make(CRON_JOB, "tick", crontab("Allow"))

    async def several() -> bool:
        return len(await active(flow)) >= 2

    await flow.until(several)
    # It makes no more while the others are looked at.
    await flow.patch(CRON_JOB, "tick", {"spec": {"suspend": True}})

    async def running() -> bool:
        return len([j for j in await flow.every(JOB) if (j.get("status") or {}).get("active")]) >= 2

    await flow.until(running)


async def the_life_of_a_cron_job(flow: Flow) -> None:
    yearly = crontab("Allow", schedule="0 0 29 2 *")
    await flow.make(CRON_JOB, "tick", yearly, labels={"wht": flow.space})
    await flow.patch(CRON_JOB, "tick", {"metadata": {"annotations": {"patched": "true"}}})
    stored = await flow.get(CRON_JOB, "tick")
    stored["metadata"]["annotations"]["updated"] = "true"
    await flow.client.update(CRON_JOB, stored)
    now = "2026-01-01T00:00:00Z"
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": now}}
    found = await flow.patch(CRON_JOB, "tick", patch, "status")
    assert found["status"]["lastScheduleTime"] == now and objects.annotations(found)["patchedstatus"] == "true"
    found["status"]["lastScheduleTime"] = "2026-01-01T01:00:00Z"
    try:
        found = await flow.client.update(CRON_JOB, found, subresource="status")
    except errors.Conflict:
        raise AssertionError("the loop writes although nothing is due") from None
    assert found["status"]["lastScheduleTime"] == "2026-01-01T01:00:00Z"
    await flow.deletes_collection(CRON_JOB, f"wht={flow.space}", 1)


def test_jobs(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            a_job_takes_orphans_in_and_lets_strangers_go,
            the_status_of_a_job_takes_changes,
            the_life_of_a_job,
            a_deleted_job_takes_its_pods,
            hooks_of_a_chart_run_one_after_the_other,
        ),
    )


def test_failures_of_jobs(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            a_policy_fails_an_index_at_once,
            too_many_failed_indexes_end_a_job,
            each_index_has_tries_of_its_own,
            disruptions_are_ignored_where_the_policy_says_so,
        ),
    )


def test_cron_jobs(tmp_path: Path) -> None:
    side_by_side(
        tmp_path,
        (
            a_suspended_cron_job_rests,
            one_after_the_other,
            the_newer_replaces_the_older,
            several_run_side_by_side,
            the_life_of_a_cron_job,
        ),
    )
