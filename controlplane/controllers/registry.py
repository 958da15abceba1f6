"""Every loop, in the order of their start. The one place that knows all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.controllers.context import Context, Loop
from controlplane.controllers.deployment.controller import DeploymentController
from controlplane.controllers.endpointslice.controller import EndpointSliceController
from controlplane.controllers.garbage.controller import GarbageCollector
from controlplane.controllers.namespaces import NamespaceController
from controlplane.controllers.node_ipam import NodeIPAMController
from controlplane.controllers.nodelifecycle.controller import NodeLifecycleController
from controlplane.controllers.nodelifecycle.eviction import TaintEvictionController
from controlplane.controllers.pod_gc import PodGCController
from controlplane.controllers.replicaset.controller import ReplicaSetController
from controlplane.controllers.service_accounts import RootCAPublisher, ServiceAccountController

REGISTRY: tuple[tuple[str, Callable[[Context], Loop]], ...] = (
    ("serviceaccount-controller", ServiceAccountController),
    ("root-ca-certificate-publisher-controller", RootCAPublisher),
    ("node-ipam-controller", NodeIPAMController),
    ("node-lifecycle-controller", NodeLifecycleController),
    ("taint-eviction-controller", TaintEvictionController),
    ("deployment-controller", DeploymentController),
    ("replicaset-controller", ReplicaSetController),
    ("endpointslice-controller", EndpointSliceController),
    ("namespace-controller", NamespaceController),
    ("pod-garbage-collector-controller", PodGCController),
    # Last, so that it shares the informers the others asked for.
    ("garbage-collector-controller", GarbageCollector),
)


def chosen(names: Sequence[str]) -> list[tuple[str, Callable[[Context], Loop]]]:
    """The loops that a setting like ``("*", "-node-ipam-controller")`` asks for. Raises ValueError for
    unknown names.
    """
    known = {name for name, _ in REGISTRY}
    for entry in names:
        if entry != "*" and entry.removeprefix("-") not in known:
            raise ValueError(f"controllers: {entry!r} is unknown; use *, {', '.join(sorted(known))}")
    everything = "*" in names
    return [(name, build) for name, build in REGISTRY if (everything and f"-{name}" not in names) or name in names]
