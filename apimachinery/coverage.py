"""What of the published API nobody acts on yet: data, said in one place.

The API server answers a request that names such a field with a `Warning:` header, so that nothing is accepted and
then ignored in silence. Whoever starts to act on a field takes its row away; tests walk the published types and fail
for a field that is neither here nor acted upon.

A key is a definition's name without its `io.k8s.api.` and a field, with one finer form::

    core.v1.PodSpec.schedulingGroup         the field, whatever it says (empty lists and maps say nothing)
    core.v1.PodSpec.hostUsers=false         only this value (as JSON writes it, strings without quotes)

Below a field that is listed as a whole nothing more is listed, nor below a kind (IDLE). The value
completes "FIELD: …", in the present tense. A request is looked at as it was sent: what defaults put in was not asked
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_NOT_MOUNTED = "volumes of this kind are not mounted: the pod waits with FailedMount"

# Volume sources without a plugin. All but csi, nfs, iscsi and fc are gone from upstream's nodes, too.
_VOLUMES = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
)

_POD_FIELDS = {
    "core.v1.PodSpec.hostUsers=false": "user namespaces are not made: the pod's sandbox is not created",
    "core.v1.PodSpec.schedulingGroup": "the pods of a group are scheduled one by one",
    **{f"core.v1.Volume.{kind}": _NOT_MOUNTED for kind in _VOLUMES},
    "core.v1.VolumeProjection.clusterTrustBundle": "trust bundles are not projected: the pod waits with FailedMount",
    "core.v1.VolumeProjection.podCertificate": "pod certificates are not issued: the pod waits with FailedMount",
    **{
        f"core.v1.EmptyDirVolumeSource.medium={medium}": "huge pages are not mounted: the pod waits with FailedMount"
        for medium in ("HugePages", "HugePages-2Mi", "HugePages-1Gi")
    },
    "core.v1.Container.volumeDevices": "block devices are not handed to containers",
    "core.v1.EphemeralContainer.volumeDevices": "block devices are not handed to containers",
    "core.v1.Lifecycle.stopSignal": "containers are stopped with their image's signal, or SIGTERM",
    "core.v1.LifecycleHandler.tcpSocket": "such a hook fails when it is to run, as it does upstream",
    "core.v1.PodSecurityContext.seLinuxChangePolicy": "volumes are relabelled by the container runtime or not at all",
    "core.v1.PodSecurityContext.windowsOptions": "every node runs Linux",
    "core.v1.SecurityContext.windowsOptions": "every node runs Linux",
}

_OTHER_FIELDS = {
    **{
        f"core.v1.PersistentVolumeSpec.{kind}": "volumes of this kind are bound, but not mounted: a pod that uses one "
        "waits with FailedMount"
        for kind in _VOLUMES
        if kind not in ("gitRepo",)
    },
    "core.v1.PersistentVolumeSpec.mountOptions": "volumes are mounted without options",
    "core.v1.PersistentVolumeSpec.volumeMode=Block": "block devices are not handed to containers",
    "core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy=Recycle": "no volume is recycled: a released one fails",
    "core.v1.PersistentVolumeClaimSpec.dataSource": "volumes are made empty",
    "core.v1.PersistentVolumeClaimSpec.dataSourceRef": "volumes are made empty",
    "resource.v1.DeviceClassSpec.extendedResourceName": "pods that ask for the resource by its name get no devices",
    "core.v1.ServiceSpec.loadBalancerClass": "only what you deploy for the class makes a load balancer",
}

UNSUPPORTED: Mapping[str, str] = MappingProxyType({**_POD_FIELDS, **_OTHER_FIELDS})
"""Field to what does not happen."""

_NO_DRIVERS = "volumes of drivers are attached where a driver does it, and not mounted"
_NO_QUEUES = "requests are neither queued nor limited by it"

IDLE: Mapping[str, str] = MappingProxyType(
    {
        "csidrivers.storage.k8s.io": _NO_DRIVERS,
        "csinodes.storage.k8s.io": _NO_DRIVERS,
        "csistoragecapacities.storage.k8s.io": _NO_DRIVERS,
        "flowschemas.flowcontrol.apiserver.k8s.io": _NO_QUEUES,
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": _NO_QUEUES,
        "volumeattributesclasses.storage.k8s.io": _NO_DRIVERS,
    }
)
"""Kind (`jobs.batch`) to what does not happen, since no loop and no node of ours acts on it."""
