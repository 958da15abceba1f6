"""Workloads beside Deployments, with real pods and kubectl: an indexed Job, a CronJob, a StatefulSet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.lab import Lab
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def template(command: str, restart: str = "Always", **labels: str) -> dict[str, Any]:
    container = {"name": "main", "image": "wherry.local/busybox:1", "command": ["sh", "-c", command]}
    spec = {"containers": [container], "restartPolicy": restart, "terminationGracePeriodSeconds": 0}
    return {"metadata": {"labels": labels}, "spec": spec}


def test_an_indexed_job_gives_each_pod_its_index_and_counts_no_restart_of_a_container(clean: Lab) -> None:
    """Each container fails once and is started again where it is: no pod of the Job has failed."""
    # Restarts of pods that are there count against the limit, which is passed when reached: three may be at once.
    spec: dict[str, Any] = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimit": 4}
    command = "[ -e /data/once ] && exec echo index $JOB_COMPLETION_INDEX; touch /data/once; exit 1"
    spec["template"] = template(command, "OnFailure")
    spec["template"]["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    spec["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    clean.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "whtjob"}, "spec": spec})
    clean.kubectl("wait", "--for=condition=Complete", "job/whtjob", "--timeout=120s")
    status = clean.get("job", "whtjob")["status"]
    assert (status["succeeded"], status.get("failed", 0), status["completedIndexes"]) == (3, 0, "0-2")
    logs = clean.kubectl("logs", "-l", "job-name=whtjob", "--prefix=false")
    assert sorted(logs.split("\n")[:-1]) == ["index 0", "index 1", "index 2"]
    clean.kubectl("delete", "job/whtjob", "--timeout=120s")
    eventually(lambda: not clean.get("pods", label="job-name=whtjob")["items"], what="the Job's pods are gone")


def test_a_cron_job_and_a_job_made_of_it_by_hand(clean: Lab) -> None:
    spec: dict[str, Any] = {"schedule": "@every 1s", "timeZone": "Asia/Kolkata"}
    spec |= {"jobTemplate": {"spec": {"template": template("true", "Never")}}}
    clean.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "whtcron"}, "spec": spec})
    eventually(
        lambda: clean.get("cronjob", "whtcron").get("status", {}).get("lastSuccessfulTime"), what="a run succeeded"
    )
    clean.kubectl("create", "job", "whtbyhand", "--from=cronjob/whtcron")
    clean.kubectl("wait", "--for=condition=Complete", "job/whtbyhand", "--timeout=120s")
    clean.kubectl("delete", "cronjob/whtcron", "--timeout=120s")
    eventually(lambda: not clean.get("jobs")["items"], what="its Jobs are gone")


def test_a_stateful_set_comes_and_rolls(clean: Lab) -> None:
    spec = {"replicas": 2, "serviceName": "whtset", "selector": {"matchLabels": {"app": "whtset"}}}
    spec |= {"template": template("hostname; exec sleep 3600", app="whtset")}
    clean.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "whtset"}, "spec": spec})
    clean.kubectl("rollout", "status", "statefulset/whtset", "--timeout=120s")
    assert clean.kubectl("logs", "whtset-1").strip() == "whtset-1"
    clean.kubectl("set", "env", "statefulset/whtset", "ROUND=2")
    clean.kubectl("rollout", "status", "statefulset/whtset", "--timeout=120s")
