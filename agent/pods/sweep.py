"""What the node still holds of pods that no source names: stopped and cleaned like a pod that was removed."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import orjson

from agent.cri import names
from agent.cri.model import PodRecord
from agent.host import paths
from agent.pods.pods import Pods
from agent.pods.shared import Shared
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_SECONDS = 30.0


class Sweeper:
    def __init__(self, shared: Shared, pods: Pods) -> None:
        self._settings = shared.settings
        self._cache = shared.cache
        self._cgroups = shared.cgroups
        self._devices, self._plugins = shared.devices, shared.plugins
        self._pods = pods

    async def run(self) -> None:
        """Look now and then, once it is known what there is and what is wanted. Runs until cancelled."""
        await self._pods.all_synced.wait()
        await self._cache.synced.wait()
        while True:
            for uid in self._cache.uids():
                if self._pods.worker(uid) is None:
                    self._pods.adopt(orphan(self._cache.record(uid)))
            self._traces()
            await asyncio.sleep(_SECONDS)

    def _traces(self) -> None:
        """Directories, logs, cgroups and devices."""
        left = {uid: ("", "") for uid in _entries(paths.pods_directory(self._settings.root_dir))}
        if self._cgroups is not None:
            left |= {uid: ("", "") for uid in self._cgroups.pods()}
        for entry in _entries(self._settings.pod_log_dir):
            namespace, _, rest = entry.partition("_")
            name, _, uid = rest.partition("_")
            left |= {uid: (namespace, name)} if uid else {}
        left |= {uid: left.get(uid, ("", "")) for uid in self._devices.users() | self._plugins.users()}
        held = set(self._cache.uids())
        for uid, (namespace, name) in left.items():
            if uid not in held and self._pods.worker(uid) is None:
                log.info("cleaning what pod %s left behind", uid)
                self._pods.adopt({"metadata": {"uid": uid, "name": name, "namespace": namespace}, "spec": {}})


def _entries(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir() if entry.is_dir()] if directory.is_dir() else []


def orphan(record: PodRecord) -> Obj:
    """A pod rebuilt from the runtime's labels, good enough to stop it properly."""
    some = record.sandboxes[0] if record.sandboxes else None
    first = record.containers[0] if record.containers else None
    meta = {
        "uid": record.uid,
        "name": some.name if some else first.pod_name if first else "",
        "namespace": some.namespace if some else first.pod_namespace if first else "",
    }
    containers = []
    for name in sorted({c.name for c in record.containers}):
        containers.append({"name": name, **_pre_stop(record, name)})
    spec: Obj = {"containers": containers, "hostNetwork": bool(some and some.host_network)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _pre_stop(record: PodRecord, name: str) -> Obj:
    run = record.newest(name)
    text = run.annotations.get(names.CONTAINER_PRE_STOP, "") if run else ""
    try:
        return {"lifecycle": {"preStop": orjson.loads(text)}} if text else {}
    except orjson.JSONDecodeError:
        return {}
