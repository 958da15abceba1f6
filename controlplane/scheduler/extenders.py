"""HTTP extenders: programs beside the scheduler that are asked which nodes fit, how well, whom to evict, and to bind.

The wire is upstream's (k8s.io/kube-scheduler/extender/v1), whose keys begin with capitals; answers are read in any
case, as Go reads them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery import errors, kubeconfig
from apimachinery.client import Client
from apimachinery.duration import DurationError, seconds
from apimachinery.objects import Obj
from apimachinery.pods.requests import is_extended
from controlplane.scheduler.framework import MAX_SCORE, Rejection
from controlplane.scheduler.refused import Refused

# What an extender's points are given in (upstream's MaxExtenderPriority).
MAX_POINTS = 10
DEADLINE = "5s"


@dataclass(frozen=True)
class ManagedResource:
    """A resource that an extender looks after."""

    name: str
    ignored_by_scheduler: bool = False
    """Nodes are not asked whether they have it."""


@dataclass(frozen=True)
class TLS:
    """How an extender is known, and what is shown to it; `*_data` are PEM files in base64."""

    insecure: bool = False
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    cert_data: str = ""
    key_data: str = ""
    ca_data: str = ""


@dataclass(frozen=True)
class ExtenderSettings:
    """One extender; a verb that is empty is not asked of it. Raises ValueError, naming the field."""

    url_prefix: str
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    weight: int = 0
    bind_verb: str = ""
    enable_https: bool = False
    tls_config: TLS | None = None
    http_timeout: str = DEADLINE
    node_cache_capable: bool = False
    """Send names of nodes only."""
    managed_resources: tuple[ManagedResource, ...] = ()
    """Send only pods that ask for one of these; none: all pods."""
    ignorable: bool = False
    """Go on without it when it does not answer."""

    def __post_init__(self) -> None:
        if not self.url_prefix.startswith(("http://", "https://")):
            raise ValueError(f"urlPrefix: {self.url_prefix!r}: write it as http://HOST:PORT/PATH")
        if self.prioritize_verb and self.weight <= 0:
            raise ValueError(f"weight: {self.weight}: must have a positive weight applied to it")
        for number, resource in enumerate(self.managed_resources):
            if not is_extended(resource.name):
                where = f"managedResources[{number}].name"
                raise ValueError(f"{where}: {resource.name} is an invalid extended resource name")
        try:
            seconds(self.http_timeout)
        except DurationError as error:
            raise ValueError(f"httpTimeout: {error}") from error


def unchecked(extenders: Iterable[ExtenderSettings]) -> frozenset[str]:
    """Resources of which nodes are not asked."""
    return frozenset(r.name for extender in extenders for r in extender.managed_resources if r.ignored_by_scheduler)


@dataclass(frozen=True)
class Filtered:
    """Nodes that an extender leaves, and why not the others."""

    nodes: Sequence[str]
    rejections: Mapping[str, Rejection]


class Extender:
    """One extender. Every call has a deadline and raises Refused where it is not answered as it should be."""

    def __init__(self, settings: ExtenderSettings, client: Client) -> None:
        self.settings = settings
        self._client = client
        self._deadline = seconds(settings.http_timeout) or seconds(DEADLINE)
        self._managed = {resource.name for resource in settings.managed_resources}

    @classmethod
    def of(cls, settings: ExtenderSettings) -> Extender:
        """The extender with connections of its own. ValueError for certificates that cannot be read."""
        return cls(settings, Client.of(_target(settings)))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    def is_interested(self, pod: Obj) -> bool:
        """Whether it is asked about the pod."""
        if not self._managed:
            return True
        spec = pod.get("spec") or {}
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        parts = [(c.get("resources") or {}).get(part) or {} for c in containers for part in ("requests", "limits")]
        return any(name in self._managed for part in parts for name in part)

    async def filter(self, pod: Obj, nodes: Mapping[str, Obj]) -> Filtered:
        """Which of the nodes (by name) fit."""
        answer = _lower(await self._ask(self.settings.filter_verb, self._args(pod, nodes)))
        if answer.get("error"):
            raise Refused(str(answer["error"]))
        names = answer.get("nodenames")
        if names is None or not self.settings.node_cache_capable:
            listed = _lower(answer.get("nodes") or {}).get("items")
            names = [node["metadata"]["name"] for node in listed or ()]
        for name in names:
            if name not in nodes:
                text = f'extender "{self.settings.url_prefix}" claims a filtered node "{name}" which is not found'
                raise Refused(f"{text} in the input node list")
        failed = {n: Rejection(str(why)) for n, why in (answer.get("failednodes") or {}).items()}
        hopeless = answer.get("failedandunresolvablenodes") or {}
        return Filtered(names, {**failed, **{n: Rejection(str(why), True) for n, why in hopeless.items()}})

    async def prioritize(self, pod: Obj, nodes: Mapping[str, Obj]) -> dict[str, float]:
        """Points by node name, on the scale of the profiles' totals."""
        answer = await self._ask(self.settings.prioritize_verb, self._args(pod, nodes))
        entries = [_lower(entry) for entry in answer] if isinstance(answer, list) else []
        scale = self.settings.weight * (MAX_SCORE // MAX_POINTS)
        return {str(entry.get("host")): int(entry.get("score") or 0) * scale for entry in entries}

    async def preempt(
        self, pod: Obj, victims: Mapping[str, tuple[Sequence[Obj], int]]
    ) -> dict[str, tuple[list[str], int]]:
        """The nodes that may be preempted on, with the uids of the pods to go and the budgets that this violates; told
        pods and violated budgets by node.
        """
        if self.settings.node_cache_capable:
            key, told = "NodeNameToMetaVictims", {
                node: {"Pods": [{"UID": p["metadata"]["uid"]} for p in pods], "NumPDBViolations": count}
                for node, (pods, count) in victims.items()
            }  # fmt: skip
        else:
            key, told = "NodeNameToVictims", {
                node: {"Pods": list(pods), "NumPDBViolations": count} for node, (pods, count) in victims.items()
            }  # fmt: skip
        answer = _lower(await self._ask(self.settings.preempt_verb, {"Pod": pod, key: told}))
        found = {}
        for node, value in (answer.get("nodenametometavictims") or {}).items():
            told_back = _lower(value)
            uids = [str(_lower(each).get("uid")) for each in told_back.get("pods") or ()]
            found[node] = (uids, int(told_back.get("numpdbviolations") or 0))
        return found

    async def bind(self, pod_name: str, namespace: str, uid: str, node: str) -> None:
        """Have it write the binding."""
        args = {"PodName": pod_name, "PodNamespace": namespace, "PodUID": uid, "Node": node}
        answer = _lower(await self._ask(self.settings.bind_verb, args))
        if answer.get("error"):
            raise Refused(str(answer["error"]))

    def _args(self, pod: Obj, nodes: Mapping[str, Obj]) -> Obj:
        if self.settings.node_cache_capable:
            return {"Pod": pod, "Nodes": None, "NodeNames": list(nodes)}
        return {"Pod": pod, "Nodes": {"metadata": {}, "items": list(nodes.values())}, "NodeNames": None}

    async def _ask(self, verb: str, args: Obj) -> Any:
        try:
            return await self._client.request("POST", f"/{verb}", body=args, timeout=self._deadline)
        except (errors.ApiError, errors.Unreachable) as error:
            raise Refused(f"extender {self.settings.url_prefix}: {error}") from error


def _lower(answer: Any) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in answer.items()} if isinstance(answer, dict) else {}


def _target(settings: ExtenderSettings) -> kubeconfig.Cluster:
    tls = settings.tls_config or TLS()
    parts = {}
    for name, data, file in (
        ("ca", tls.ca_data, tls.ca_file),
        ("cert", tls.cert_data, tls.cert_file),
        ("key", tls.key_data, tls.key_file),
    ):
        try:
            parts[name] = base64.b64decode(data, validate=True) if data else Path(file).read_bytes() if file else None
        except (OSError, binascii.Error) as error:
            raise ValueError(f"extender {settings.url_prefix}: tlsConfig: {name}: {error}") from error
    # As upstream: HTTPS that names no authority is not checked.
    insecure = tls.insecure or (settings.enable_https and parts["ca"] is None)
    return kubeconfig.Cluster(settings.url_prefix, parts["ca"], parts["cert"], parts["key"], insecure=insecure)
