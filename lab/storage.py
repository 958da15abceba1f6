"""The default StorageClass `local-path`: a claim gets a directory of the node that its first pod goes to."""

from __future__ import annotations

import contextlib
from typing import Any

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import STORAGE_CLASS

NAME, PROVISIONER = "local-path", "wherry.local/local-path"


def storage_class() -> dict[str, Any]:
    """As k3s and kind have it."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": NAME, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


async def publish(client: Client) -> None:
    """Make it, unless it is there already. Raises what the API server says against it."""
    with contextlib.suppress(errors.AlreadyExists):
        await client.create(STORAGE_CLASS, storage_class())
