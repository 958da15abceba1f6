"""Every loop, in the order of their start. The one place that knows all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.controllers.admission_policies import AdmissionPolicyStatusController
from controlplane.controllers.attachments.controller import AttachDetachController
from controlplane.controllers.certificates.approving import ApprovingController, ServingApprovingController
from controlplane.controllers.certificates.cleaning import CleaningController
from controlplane.controllers.certificates.signing import SigningController
from controlplane.controllers.cluster_roles import ClusterRoleAggregationController
from controlplane.controllers.context import Context, Loop
from controlplane.controllers.cronjob.controller import CronJobController
from controlplane.controllers.daemonset.controller import DaemonSetController
from controlplane.controllers.deployment.controller import DeploymentController
from controlplane.controllers.disruption.controller import DisruptionController
from controlplane.controllers.endpoints.controller import EndpointsController
from controlplane.controllers.endpointslice.controller import EndpointSliceController
from controlplane.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from controlplane.controllers.garbage.controller import GarbageCollector
from controlplane.controllers.horizontal.controller import HorizontalController
from controlplane.controllers.job.controller import JobController
from controlplane.controllers.job_ttl import JobTTLController
from controlplane.controllers.localpath.controller import LocalPathProvisioner
from controlplane.controllers.namespaces import NamespaceController
from controlplane.controllers.node_ipam import NodeIPAMController
from controlplane.controllers.node_ttl import NodeTTLController
from controlplane.controllers.nodelifecycle.controller import NodeLifecycleController
from controlplane.controllers.nodelifecycle.eviction import TaintEvictionController
from controlplane.controllers.pod_gc import PodGCController
from controlplane.controllers.protection import AttributesClassProtection, ClaimProtection, VolumeProtection
from controlplane.controllers.quota.controller import ResourceQuotaController
from controlplane.controllers.replicaset.controller import ReplicaSetController
from controlplane.controllers.replicationcontroller.controller import ReplicationControllerLoop
from controlplane.controllers.resourceclaims.controller import ResourceClaimController
from controlplane.controllers.resourceclaims.eviction import DeviceTaintEvictionController
from controlplane.controllers.service_accounts import RootCAPublisher, ServiceAccountController
from controlplane.controllers.service_ranges import ServiceRangeController
from controlplane.controllers.statefulset.controller import StatefulSetController
from controlplane.controllers.tokens.accounts import AccountTokenController
from controlplane.controllers.tokens.bootstrap import BootstrapSigner, TokenCleaner
from controlplane.controllers.tokens.unused import UnusedTokenCleaner
from controlplane.controllers.volumes.binder import BinderController
from controlplane.controllers.volumes.ephemeral import EphemeralVolumeController
from controlplane.controllers.volumes.expansion import ExpansionController


@dataclass(frozen=True)
class Entry:
    """A loop: upstream's name for it, the name its events carry, and how to build it."""

    name: str
    source: str
    build: Callable[[Context], Loop]
    # Acts as the process itself, not under an account of its own.
    as_process: bool = False
    # Whether `*` means it, too; else it runs where it is named.
    usual: bool = True


REGISTRY: tuple[Entry, ...] = (
    Entry(
        "serviceaccount-token-controller", "serviceaccount-token-controller", AccountTokenController, as_process=True
    ),
    Entry("serviceaccount-controller", "serviceaccount-controller", ServiceAccountController),
    Entry("root-ca-certificate-publisher-controller", "root-ca-certificate-publisher", RootCAPublisher),
    Entry("clusterrole-aggregation-controller", "clusterrole-aggregation-controller", ClusterRoleAggregationController),
    Entry(
        "validatingadmissionpolicy-status-controller",
        "validatingadmissionpolicy-status-controller",
        AdmissionPolicyStatusController,
    ),
    Entry("node-ipam-controller", "cidrAllocator", NodeIPAMController),
    Entry("ttl-controller", "ttl-controller", NodeTTLController),
    Entry("node-lifecycle-controller", "node-controller", NodeLifecycleController),
    Entry("taint-eviction-controller", "taint-eviction-controller", TaintEvictionController),
    Entry("deployment-controller", "deployment-controller", DeploymentController),
    Entry("replicaset-controller", "replicaset-controller", ReplicaSetController),
    Entry("replicationcontroller-controller", "replication-controller", ReplicationControllerLoop),
    Entry("statefulset-controller", "statefulset-controller", StatefulSetController),
    Entry("job-controller", "job-controller", JobController),
    Entry("cronjob-controller", "cronjob-controller", CronJobController),
    Entry("ttl-after-finished-controller", "ttl-after-finished-controller", JobTTLController),
    Entry("daemonset-controller", "daemonset-controller", DaemonSetController),
    Entry("horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler", HorizontalController),
    Entry("disruption-controller", "controllermanager", DisruptionController),
    Entry("endpointslice-controller", "endpoint-slice-controller", EndpointSliceController),
    Entry("endpoints-controller", "endpoint-controller", EndpointsController),
    Entry(
        "endpointslice-mirroring-controller", "endpoint-slice-mirroring-controller", EndpointSliceMirroringController
    ),
    Entry("certificatesigningrequest-signing-controller", "certificate-controller", SigningController),
    Entry("certificatesigningrequest-approving-controller", "certificate-controller", ApprovingController),
    Entry("kubelet-serving-approving-controller", "certificate-controller", ServingApprovingController),
    Entry("certificatesigningrequest-cleaner-controller", "certificate-controller", CleaningController),
    Entry("bootstrap-signer-controller", "bootstrap-signer", BootstrapSigner),
    Entry("token-cleaner-controller", "token-cleaner", TokenCleaner),
    Entry("legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner", UnusedTokenCleaner),
    Entry("namespace-controller", "namespace-controller", NamespaceController),
    Entry("pod-garbage-collector-controller", "pod-garbage-collector", PodGCController),
    Entry("persistentvolume-binder-controller", "persistentvolume-controller", BinderController),
    Entry("persistentvolume-attach-detach-controller", "attachdetach-controller", AttachDetachController),
    Entry("persistentvolume-expander-controller", "volume_expand", ExpansionController),
    Entry("ephemeral-volume-controller", "ephemeral_volume", EphemeralVolumeController),
    Entry("resourceclaim-controller", "resource_claim", ResourceClaimController),
    Entry("device-taint-eviction-controller", "device-taint-eviction-controller", DeviceTaintEvictionController),
    # None of upstream's: small clusters have it beside them.
    Entry("local-path-provisioner", "wherry.local/local-path", LocalPathProvisioner),
    Entry("persistentvolumeclaim-protection-controller", "pvc-protection-controller", ClaimProtection),
    Entry("persistentvolume-protection-controller", "pv-protection-controller", VolumeProtection),
    Entry(
        "volumeattributesclass-protection-controller",
        "volumeattributesclass-protection-controller",
        AttributesClassProtection,
    ),
    Entry("service-cidr-controller", "service-cidr-controller", ServiceRangeController),
    Entry("resourcequota-controller", "resourcequota-controller", ResourceQuotaController, usual=False),
    # Last, so that it shares the informers the others asked for.
    Entry("garbage-collector-controller", "garbage-collector-controller", GarbageCollector),
)


def chosen(names: Sequence[str]) -> list[Entry]:
    """The loops that a setting like `("*", "-node-ipam-controller")` asks for.

    Raises ValueError for an unknown name.
    """
    known = {entry.name for entry in REGISTRY}
    for wish in names:
        if wish != "*" and wish.removeprefix("-") not in known:
            raise ValueError(f"controllers: {wish!r} is unknown; use *, {', '.join(sorted(known))}")
    everything = "*" in names
    return [e for e in REGISTRY if (everything and e.usual and f"-{e.name}" not in names) or e.name in names]
