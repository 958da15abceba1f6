"""StatefulSets, ReplicationControllers and Jobs against the real API server, with nodes that pretend."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from apimachinery.client import PatchType
from apimachinery.kinds import (
    CONTROLLER_REVISION,
    CRON_JOB,
    EVENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
)
from apimachinery.objects import Obj, labels, name, uid
from apimachinery.timestamps import parse_time
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
IMAGE_2 = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:2"}]}}}}


def stateful_set(**spec: Any) -> Obj:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    wanted = {"replicas": 3, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {**wanted, "volumeClaimTemplates": [claim], **spec},
    }


async def claims(at: Stage) -> list[str]:
    return sorted(name(c) for c in (await at.client.list(PERSISTENT_VOLUME_CLAIM, "default"))["items"])


async def has_status(at: Stage, **wanted: Any) -> bool:
    status = (await at.client.get(STATEFUL_SET, "web", "default")).get("status") or {}
    return all(status.get(key, 0) == value for key, value in wanted.items())


def ready_names(at: Stage) -> list[str]:
    return sorted(name(p) for p in at.ready_pods())


def test_a_stateful_set_comes_rolls_shrinks_and_goes(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
        await at.make_volumes()
        await at.client.create(STATEFUL_SET, stateful_set(persistentVolumeClaimRetentionPolicy=policy))
        await at.until(lambda: ready_names(at) == ["web-0", "web-1", "web-2"])
        assert await claims(at) == ["data-web-0", "data-web-1", "data-web-2"]
        await at.until(lambda: has_status(at, readyReplicas=3, availableReplicas=3, currentReplicas=3))
        first = {name(p): uid(p) for p in at.pods.items()}
        await at.client.patch(STATEFUL_SET, "web", IMAGE_2, "default")

        async def rolled() -> bool:
            found = await at.client.get(STATEFUL_SET, "web", "default")
            status = found["status"]
            return status["currentRevision"] == status["updateRevision"] and status.get("updatedReplicas") == 3

        images = {"web:2"}
        await at.until(lambda: {p["spec"]["containers"][0]["image"] for p in at.ready_pods()} == images)
        await at.until(rolled)
        assert not {uid(p) for p in at.pods.items()} & set(first.values())
        assert len((await at.client.list(CONTROLLER_REVISION, "default"))["items"]) == 2
        await at.client.patch(STATEFUL_SET, "web", {"spec": {"replicas": 1}}, "default")
        await at.until(lambda: ready_names(at) == ["web-0"] and len(at.pods.items()) == 1)

        async def shrunk() -> bool:
            return await claims(at) == ["data-web-0"]

        await at.until(shrunk)
        await at.client.delete(STATEFUL_SET, "web", "default", propagation="Background")
        await at.until(lambda: not at.pods.items())

        async def gone() -> bool:
            return await claims(at) == []

        await at.until(gone)
        told = {e["message"] for e in (await at.client.list(EVENT, "default"))["items"]}
        assert "Create Pod web-0 in StatefulSet web successful" in told
        assert "Create Claim data-web-0 Pod web-0 in StatefulSet web success" in told

    play(tmp_path, scenario, local_path_directory="/volumes")


def test_killed_loops_make_no_ordinal_twice(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.make_volumes()
        await at.client.create(STATEFUL_SET, stateful_set(replicas=8, podManagementPolicy="Parallel"))
        await at.until(lambda: len(at.pods.items()) >= 2)
        await at.kill_loops()
        await at.start_loops(local_path_directory="/volumes")
        await at.until(lambda: ready_names(at) == [f"web-{n}" for n in range(8)])
        assert max(at.most.values()) == 8

    play(tmp_path, scenario, local_path_directory="/volumes")


def test_a_replication_controller_keeps_its_number_and_adopts(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        controller = {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 3, "selector": {"app": "web"}, "template": TEMPLATE},
        }
        await at.client.create(REPLICATION_CONTROLLER, controller)
        await at.until(lambda: len(at.ready_pods()) == 3)

        async def full() -> bool:
            status = (await at.client.get(REPLICATION_CONTROLLER, "web", "default"))["status"]
            assert "terminatingReplicas" not in status
            return status.get("availableReplicas") == status.get("fullyLabeledReplicas") == 3

        await at.until(full)
        await at.client.delete(REPLICATION_CONTROLLER, "web", "default", propagation="Orphan")
        await at.until(lambda: not any(p["metadata"].get("ownerReferences") for p in at.pods.items()))

        async def gone() -> bool:
            return not (await at.client.list(REPLICATION_CONTROLLER, "default"))["items"]

        await at.until(gone)
        before = {uid(p) for p in at.pods.items()}
        await at.client.create(REPLICATION_CONTROLLER, controller)
        await at.until(lambda: all(p["metadata"].get("ownerReferences") for p in at.pods.items()))
        await at.client.patch(REPLICATION_CONTROLLER, "web", {"spec": {"replicas": 1}}, "default")
        await at.until(lambda: len(at.pods.items()) == 1)
        assert uid(at.pods.items()[0]) in before
        assert labels(at.pods.items()[0]) == {"app": "web"}

    play(tmp_path, scenario)


def job(**spec: Any) -> Obj:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def end(at: Stage, pod: Obj, phase: str = "Succeeded") -> None:
    """What a node tells when a pod's process ended."""
    conditions = [{"type": "Ready", "status": "False"}]
    status = {"status": {"phase": phase, "conditions": conditions}}
    await at.client.patch(POD, name(pod), status, "default", subresource="status", patch_type=PatchType.STRATEGIC)


def index(pod: Obj) -> str:
    return labels(pod)["batch.kubernetes.io/job-completion-index"]


def test_an_indexed_job_runs_each_index_once_also_across_kills(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        wanted = job(completions=5, parallelism=2, completionMode="Indexed", ttlSecondsAfterFinished=1)
        await at.client.create(JOB, wanted)
        ran: Counter[str] = Counter()
        ended: set[str] = set()
        for number in range(5):
            fresh = await at.until(lambda: [p for p in at.ready_pods() if uid(p) not in ended])
            ended.add(uid(fresh[0]))
            ran[index(fresh[0])] += 1
            await end(at, fresh[0])
            if number in (1, 3):
                await at.kill_loops()
                await at.start_loops()
        assert ran == {str(n): 1 for n in range(5)}

        async def over() -> bool:
            found = (await at.client.list(JOB, "default"))["items"]
            if not found:
                return True
            status = found[0]["status"]
            done = [c["type"] for c in status.get("conditions") or ()]
            if "Complete" in done:
                assert (status["succeeded"], status["completedIndexes"]) == (5, "0-4")
                assert status["uncountedTerminatedPods"] == {} and "failed" not in status
            return "Complete" in done

        await at.until(over)
        # Its time to live is over soon, and no finalizer holds its pods.
        await at.until(lambda: not at.pods.items())

        async def gone() -> bool:
            return not (await at.client.list(JOB, "default"))["items"]

        await at.until(gone)
        told = Counter(e["reason"] for e in (await at.client.list(EVENT, "default"))["items"])
        assert told["Completed"] == 1

    play(tmp_path, scenario)


def test_a_failed_job_tells_why_and_its_deletion_frees_its_pods(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(JOB, job(backoffLimit=0, parallelism=2, completions=2))
        first = (await at.until(lambda: len(at.ready_pods()) == 2 and at.ready_pods()))[0]
        await end(at, first, "Failed")

        async def failed() -> bool:
            status = (await at.client.get(JOB, "work", "default"))["status"]
            conditions = {c["type"]: c["reason"] for c in status.get("conditions") or ()}
            return conditions.get("Failed") == "BackoffLimitExceeded" and status["failed"] == 2

        await at.until(failed)
        assert (await at.client.get(JOB, "work", "default"))["status"]["terminating"] == 0
        await at.client.delete(JOB, "work", "default", propagation="Background")
        await at.until(lambda: not at.pods.items())

    play(tmp_path, scenario)


def test_pods_of_a_job_that_went_while_nobody_looked_are_freed(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(JOB, job(parallelism=2, completions=2))
        await at.until(lambda: len(at.ready_pods()) == 2)
        await at.kill_loops()
        await at.client.delete(JOB, "work", "default", propagation="Background")
        await at.start_loops()
        await at.until(lambda: not at.pods.items())

    play(tmp_path, scenario)


def test_a_cron_job_makes_jobs_and_takes_them_with_it(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        wanted = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {
                "schedule": "@every 1s",
                "concurrencyPolicy": "Forbid",
                "successfulJobsHistoryLimit": 0,
                "jobTemplate": {"spec": job()["spec"]},
            },
        }
        await at.client.create(CRON_JOB, wanted)
        (first,) = await at.until(at.ready_pods)

        async def status() -> Obj:
            return dict((await at.client.get(CRON_JOB, "tick", "default")).get("status") or {})

        async def noted() -> bool:
            return len((await status()).get("active") or ()) == 1

        await at.until(noted)
        # The Jobs of one minute have one name: what is left of it brings no second one.
        (made,) = (await at.client.list(JOB, "default"))["items"]
        # ... which says the minute that it was due in, since 1970.
        due = parse_time(made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"])
        assert name(made) == f"tick-{int(due.timestamp()) // 60}"
        await at.client.patch(CRON_JOB, "tick", {"spec": {"suspend": True}}, "default")
        await end(at, first)

        async def cleaned() -> bool:
            now_noted = await status()
            gone = not (await at.client.list(JOB, "default"))["items"]
            return gone and "active" not in now_noted and "lastSuccessfulTime" in now_noted

        await at.until(cleaned)

        async def told() -> bool:
            found = {e["reason"] for e in (await at.client.list(EVENT, "default"))["items"]}
            return found >= {"SuccessfulCreate", "SawCompletedJob"}

        await at.until(told)
        await at.client.delete(CRON_JOB, "tick", "default")

    play(tmp_path, scenario)
