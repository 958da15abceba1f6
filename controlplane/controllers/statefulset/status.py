"""What a StatefulSet says of itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from apimachinery.objects import Obj, is_deleting, labels
from controlplane.controllers import pod_status
from controlplane.controllers.statefulset.identity import REVISION, replicas
from controlplane.controllers.statefulset.revisions import History


def plan(stateful_set: Obj, pods: Sequence[Obj], history: History, now: datetime) -> tuple[Obj, float | None]:
    """The status and the seconds until it changes by time alone."""
    min_ready = int(stateful_set["spec"].get("minReadySeconds") or 0)
    ready = [p for p in pods if pod_status.phase(p) == "Running" and pod_status.is_ready(p)]
    waits = [pod_status.available_in(p, min_ready, now) or 0.0 for p in ready]
    staying = [p for p in pods if not is_deleting(p)]
    current, update = history.current.name, history.update.name
    counts = {
        "readyReplicas": len(ready),
        "currentReplicas": sum(labels(p).get(REVISION) == current for p in staying),
        "updatedReplicas": sum(labels(p).get(REVISION) == update for p in staying),
    }
    wanted = replicas(stateful_set)
    strategy = (stateful_set["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    done = counts["updatedReplicas"] == counts["readyReplicas"] == len(pods) == wanted
    if strategy == "RollingUpdate" and done:
        counts["currentReplicas"], current = counts["updatedReplicas"], update
    shown: Obj = {
        "observedGeneration": stateful_set["metadata"].get("generation") or 0,
        "replicas": len(pods),
        **{key: count for key, count in counts.items() if count},
        "availableReplicas": sum(wait == 0 for wait in waits),
        "currentRevision": current,
        "updateRevision": update,
    }
    old = stateful_set.get("status") or {}
    shown["collisionCount"] = int(old.get("collisionCount") or 0)
    if old.get("conditions"):
        shown["conditions"] = old["conditions"]
    later = [wait for wait in waits if wait > 0]
    return shown, min(later) if later else None
