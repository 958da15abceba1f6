"""The API objects volumes and environment ask for, from caches that say when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from agent.failures import ConfigError, HandlerError, VolumeError
from agent.objects.claims import Claims
from agent.objects.tokens import Tokens
from agent.objects.watched import NotSynced, Watched
from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.errors import ApiError, Forbidden, NotFound, Unreachable
from apimachinery.informer import Informer
from apimachinery.objects import Obj

SERVICES_SECONDS = 5.0
RUNTIME_CLASS_SECONDS = 5.0

# What the caller wants raised where an object cannot be had.
ErrorType = type[ConfigError] | type[VolumeError]


class Objects:
    """One per agent. `client` is None on a node without an API server: then nothing can be referred to."""

    def __init__(self, client: Client | None, node_name: str) -> None:
        self._client = client
        self._listeners: list[Callable[[str], None]] = []
        self._node_name = node_name
        self._watched = Watched(client, self._tell) if client else None
        self._tokens = Tokens(client, self._tell) if client else None
        self.claims = Claims(client)
        self._services = Informer(client, kinds.SERVICE) if client else None
        if self._services is not None:
            self._services.index_by_namespace()
        self._nodes = Informer(client, kinds.NODE, field_selector=f"metadata.name={node_name}") if client else None

    async def run(self) -> None:
        """Keep the caches until cancelled."""
        informers = [informer for informer in (self._services, self._nodes) if informer is not None]
        try:
            if informers:
                await asyncio.gather(*(informer.run() for informer in informers))
            else:
                await asyncio.Event().wait()
        finally:
            if self._watched is not None:
                self._watched.close()

    def on_change(self, listener: Callable[[str], None]) -> None:
        """`listener(pod_uid)` is called when something the pod refers to changed or its token is due."""
        self._listeners.append(listener)

    def pod_gone(self, uid: str) -> None:
        """Nothing of this pod is needed any more."""
        self.claims.release(uid)
        if self._watched is not None and self._tokens is not None:
            self._watched.release(uid)
            self._tokens.release(uid)

    def node(self) -> Obj | None:
        """Our own Node as the API server has it."""
        return self._nodes.get(self._node_name) if self._nodes is not None else None

    async def fresh_node(self) -> Obj | None:
        """Our Node read anew. Raises ApiError or Unreachable."""
        if self._client is None:
            return None
        try:
            return await self._client.get(kinds.NODE, self._node_name)
        except NotFound:
            return None

    async def runtime_handler(self, pod: Obj) -> str:
        """The runtime handler the pod's RuntimeClass names, empty for the default; raises HandlerError.

        Asked for once a sandbox: few pods name a class, and a watch would cost every node a connection.
        """
        name = (pod.get("spec") or {}).get("runtimeClassName")
        if not name:
            return ""
        if self._client is None:
            raise HandlerError(f"failed to lookup RuntimeClass {name}: no API server to ask")
        try:
            found = await asyncio.wait_for(self._client.get(kinds.RUNTIME_CLASS, name), RUNTIME_CLASS_SECONDS)
        except NotFound as error:
            raise HandlerError(f'runtimeclass.node.k8s.io "{name}" not found') from error
        except (ApiError, Unreachable, asyncio.TimeoutError) as error:
            raise HandlerError(f"failed to lookup RuntimeClass {name}: {error}") from error
        return str(found.get("handler", ""))

    async def node_synced(self) -> None:
        """Returns once it is known whether there is a Node of ours, and what it says."""
        if self._nodes is not None:
            await self._nodes.wait_synced()

    def allocatable(self) -> Mapping[str, str]:
        """The node's allocatable resources, empty until registered."""
        return ((self.node() or {}).get("status") or {}).get("allocatable") or {}

    def host_ips(self, pod: Obj, configured: str) -> tuple[str, ...]:
        """Addresses of the node for the downward API."""
        addresses = ((self.node() or {}).get("status") or {}).get("addresses") or []
        found = tuple(a["address"] for a in addresses if a.get("type") == "InternalIP")
        status = pod.get("status") or {}
        known = tuple(entry["ip"] for entry in status.get("hostIPs") or [] if entry.get("ip"))
        return known or found or tuple(part for part in configured.split(",") if part)

    async def config_maps(self, pod: Obj, names: Iterable[str], error: ErrorType) -> dict[str, Obj]:
        """The named config maps of the pod's namespace that exist."""
        return await self._all(kinds.CONFIG_MAP, pod, names, error)

    async def secrets(self, pod: Obj, names: Iterable[str], error: ErrorType) -> dict[str, Obj]:
        """The named secrets of the pod's namespace that exist."""
        return await self._all(kinds.SECRET, pod, names, error)

    async def services_for(self, pod: Obj) -> tuple[Obj, ...]:
        """Services whose variables the pod may see; raises ConfigError where they were never read."""
        if self._services is None:
            return ()
        if not self._services.has_synced:
            try:
                await asyncio.wait_for(self._services.wait_synced(), SERVICES_SECONDS)
            except asyncio.TimeoutError as error:
                text = "services have not yet been read at least once, cannot construct envvars"
                raise ConfigError(text) from error
        namespace = pod["metadata"].get("namespace", "default")
        own = self._services.in_namespace(namespace)
        master = self._services.get("default/kubernetes")
        return (*own, master) if master is not None and namespace != "default" else tuple(own)

    async def token(self, pod: Obj, audience: str, expiration: int) -> str:
        """A service account token bound to the pod; raises VolumeError."""
        if self._tokens is None:
            raise VolumeError("cannot use TokenManager when kubelet is in standalone mode")
        try:
            return await self._tokens.get(pod, audience, expiration)
        except (ApiError, Unreachable) as error:
            # The authorizer learns of a bound pod a moment after this agent does.
            settling = isinstance(error, (Forbidden, NotFound))
            raise VolumeError(f"failed to fetch token: {error}", settling=settling) from error

    async def _all(self, kind: kinds.Kind, pod: Obj, names: Iterable[str], error: ErrorType) -> dict[str, Obj]:
        meta = pod["metadata"]
        namespace, found = meta.get("namespace", "default"), {}
        for name in sorted(names):
            if self._watched is None:
                label = "configMap" if kind is kinds.CONFIG_MAP else "secret"
                raise error(f"couldn't get {label} {namespace}/{name}, no kubeClient defined")
            try:
                value = await self._watched.get(kind, namespace, name, meta["uid"])
            except NotSynced as problem:
                raise error(str(problem)) from problem
            if value is not None:
                found[name] = value
        return found

    def _tell(self, pod_uid: str) -> None:
        for listener in self._listeners:
            listener(pod_uid)
