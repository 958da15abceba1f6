"""Every namespace gets its `default` ServiceAccount and the ConfigMap with the root certificate."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import CONFIG_MAP, NAMESPACE, SERVICE_ACCOUNT, Kind
from apimachinery.objects import Obj, is_deleting, name, namespace
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced
from controlplane.controllers.pod_control import is_namespace_going

CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as"
    " the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of"
    " Kubernetes clusters."
)


class _PerNamespace:
    """Keeps one object of a kind in every namespace that is not being deleted."""

    kind: Kind
    object_name: str

    def __init__(self, context: Context) -> None:
        self._context = context
        self._namespaces = context.informers.of(NAMESPACE)
        self._objects = context.informers.of(self.kind)
        self._queue: WorkQueue[str] = WorkQueue(self.kind.plural, backoff_max=60.0)
        self._namespaces.add_handler(lambda _old, new: self._queue.add(name(new)) if new is not None else None)
        self._objects.add_handler(self._on_object)

    async def run(self) -> None:
        await synced(self._namespaces, self._objects)
        await self._queue.run_workers(1, self._sync)

    def _on_namespace(self, _old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._queue.add(name(new))

    def _on_object(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old or {}
        if name(obj) == self.object_name:
            self._queue.add(namespace(obj))

    def wanted(self, space: str) -> Obj:
        raise NotImplementedError

    def is_right(self, obj: Obj, wanted: Obj) -> bool:
        return True

    async def _sync(self, space: str) -> None:
        found = self._namespaces.get(space)
        if found is None or is_deleting(found) or (found.get("status") or {}).get("phase") == "Terminating":
            return
        wanted = self.wanted(space)
        present = self._objects.get(f"{space}/{self.object_name}")
        client = self._context.client
        try:
            if present is None:
                await client.create(self.kind, wanted)
            elif not self.is_right(present, wanted):
                await client.update(self.kind, {**present, **{k: wanted[k] for k in wanted if k != "metadata"}})
        except (errors.AlreadyExists, errors.NotFound):
            return
        except errors.ApiError as error:
            if not is_namespace_going(error):
                raise


class ServiceAccountController(_PerNamespace):
    """The `default` ServiceAccount of each namespace."""

    kind = SERVICE_ACCOUNT
    object_name = "default"

    def wanted(self, space: str) -> Obj:
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": space},
        }


class RootCAPublisher(_PerNamespace):
    """kube-root-ca.crt in each namespace, put right when someone changes it."""

    kind = CONFIG_MAP
    object_name = names.ROOT_CA

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        path = context.settings.root_ca_file
        self._certificate = path.read_text(encoding="utf-8") if path is not None else ""

    async def run(self) -> None:
        if self._certificate:
            await super().run()

    def wanted(self, space: str) -> Obj:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.ROOT_CA,
                "namespace": space,
                "annotations": {"kubernetes.io/description": CA_DESCRIPTION},
            },
            "data": {"ca.crt": self._certificate},
        }

    def is_right(self, obj: Obj, wanted: Obj) -> bool:
        return bool(obj.get("data") == wanted["data"])
