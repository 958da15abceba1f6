"""The autoscaler with the real API server; what pods use is written by the test as a metrics server would tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from apimachinery.kinds import DEPLOYMENT, EVENT, HORIZONTAL_POD_AUTOSCALER, POD_METRICS, STANDARD
from apimachinery.objects import Obj, condition, labels, name
from apimachinery.timestamps import format_time, now
from controlplane.apiserver.resources import builtin, metrics
from tests.controlplane.stage import Stage, stage
from tests.controlplane.test_loops import deployment
from tests.waiting import WHOLE

# Kept like any other object.
WRITTEN = replace(POD_METRICS, verbs=STANDARD)


def scaler(**spec: object) -> Obj:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metric = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}}
    wanted = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5}
    wanted |= {"metrics": [{"type": "Resource", "resource": metric}], **spec}
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": wanted}


async def use(at: Stage, memory: str) -> None:
    """Each pod uses so much, and has for a while."""
    for pod in at.ready_pods():
        body: Obj = {"metadata": {"name": name(pod), "namespace": "default", "labels": dict(labels(pod))}}
        body |= {"timestamp": format_time(now()), "window": "0s"}
        body |= {"containers": [{"name": "c", "usage": {"cpu": "1m", "memory": memory}}]}
        await at.client.create(WRITTEN, body)


def test_an_autoscaler_grows_what_is_busy_and_shrinks_what_is_not(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        client = at.client
        await client.create(DEPLOYMENT, deployment(1))
        await at.until(lambda: len(at.ready_pods()) == 1)
        await use(at, "250Mi")
        await client.create(HORIZONTAL_POD_AUTOSCALER, scaler())
        await at.until(lambda: len(at.ready_pods()) == 3)
        found = await client.get(HORIZONTAL_POD_AUTOSCALER, "web", "default")
        assert found["status"]["desiredReplicas"] == 3
        active = condition(found, "ScalingActive")
        assert active is not None and active["reason"] == "ValidMetricFound"
        assert found["status"]["currentMetrics"][0]["resource"]["current"]["averageValue"] == "262144k"
        await client.delete_collection(WRITTEN, "default")
        await use(at, "10Mi")
        calm = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        await client.patch(HORIZONTAL_POD_AUTOSCALER, "web", {"spec": {"behavior": calm}}, "default")
        await at.until(lambda: len(at.ready_pods()) == 1)

        async def told() -> bool:
            said = {e["message"] for e in (await client.list(EVENT, "default"))["items"]}
            grown = "New size: 3; reason: memory resource above target"
            return {grown, "New size: 1; reason: All metrics below target"} <= said

        await at.until(told)

    async def run() -> None:
        catalog = builtin.catalog()
        catalog.add(replace(metrics.ROWS[1], kind=WRITTEN))
        async with stage(tmp_path, catalog) as at:
            await at.start_loops()
            at.watch_pods()
            await at.add_nodes(2)
            await asyncio.wait_for(scenario(at), WHOLE)

    asyncio.run(run())
