"""DefaultBinder: writes the pod's binding subresource."""

from __future__ import annotations

from apimachinery.client import Client
from apimachinery.kinds import POD
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Plugin


class DefaultBinder(Plugin):
    name = "DefaultBinder"

    def sign(self, pod: Pod) -> tuple[()]:
        return ()

    async def bind(self, client: Client, pod: Pod, node: str) -> bool:
        """Raises Conflict when the pod has a node already or another uid, NotFound when it is gone."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        await client.create(POD, binding, namespace=pod.namespace, subresource="binding", name=pod.name)
        return True
