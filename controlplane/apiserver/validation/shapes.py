"""Values as upstream shows them in its complaints: under the field names of its own types, every field named.

Upstream prints a bad struct, and the difference of two, from its internal types, which have names and an order
of their own. A shape lists them: (name shown, our key, what stands for an absent value or the shape inside).
"""

from __future__ import annotations

import difflib
import json
from typing import Any

from controlplane.apiserver.rules.values import Obj

Shape = tuple[tuple[str, str, Any], ...]

_RESOURCES: Shape = (("Limits", "limits", None), ("Requests", "requests", None))
_LOCAL_REFERENCE: Shape = (("APIGroup", "apiGroup", None), ("Kind", "kind", ""), ("Name", "name", ""))
_REFERENCE: Shape = (*_LOCAL_REFERENCE, ("Namespace", "namespace", None))
_SECRET_REFERENCE: Shape = (("Name", "name", ""), ("Namespace", "namespace", ""))

CLAIM_SPEC: Shape = (
    ("AccessModes", "accessModes", None),
    ("Selector", "selector", None),
    ("Resources", "resources", _RESOURCES),
    ("VolumeName", "volumeName", ""),
    ("StorageClassName", "storageClassName", None),
    ("VolumeMode", "volumeMode", None),
    ("DataSource", "dataSource", ("?", _LOCAL_REFERENCE)),
    ("DataSourceRef", "dataSourceRef", ("?", _REFERENCE)),
    ("VolumeAttributesClassName", "volumeAttributesClassName", None),
)
_CSI: Shape = (
    ("Driver", "driver", ""),
    ("VolumeHandle", "volumeHandle", ""),
    ("ReadOnly", "readOnly", False),
    ("FSType", "fsType", ""),
    ("VolumeAttributes", "volumeAttributes", None),
    ("ControllerPublishSecretRef", "controllerPublishSecretRef", ("?", _SECRET_REFERENCE)),
    ("NodeStageSecretRef", "nodeStageSecretRef", ("?", _SECRET_REFERENCE)),
    ("NodePublishSecretRef", "nodePublishSecretRef", ("?", _SECRET_REFERENCE)),
    ("ControllerExpandSecretRef", "controllerExpandSecretRef", ("?", _SECRET_REFERENCE)),
    ("NodeExpandSecretRef", "nodeExpandSecretRef", ("?", _SECRET_REFERENCE)),
)
# In upstream's order; the sources without a shape are shown with the keys they have.
VOLUME_SOURCE: Shape = (
    ("GCEPersistentDisk", "gcePersistentDisk", None),
    ("AWSElasticBlockStore", "awsElasticBlockStore", None),
    ("HostPath", "hostPath", ("?", (("Path", "path", ""), ("Type", "type", None)))),
    ("Glusterfs", "glusterfs", None),
    ("NFS", "nfs", ("?", (("Server", "server", ""), ("Path", "path", ""), ("ReadOnly", "readOnly", False)))),
    ("RBD", "rbd", None),
    ("Quobyte", "quobyte", None),
    ("ISCSI", "iscsi", None),
    ("FlexVolume", "flexVolume", None),
    ("Cinder", "cinder", None),
    ("CephFS", "cephfs", None),
    ("FC", "fc", None),
    ("Flocker", "flocker", None),
    ("AzureFile", "azureFile", None),
    ("VsphereVolume", "vsphereVolume", None),
    ("AzureDisk", "azureDisk", None),
    ("PhotonPersistentDisk", "photonPersistentDisk", None),
    ("PortworxVolume", "portworxVolume", None),
    ("ScaleIO", "scaleIO", None),
    ("Local", "local", ("?", (("Path", "path", ""), ("FSType", "fsType", None)))),
    ("StorageOS", "storageos", None),
    ("CSI", "csi", ("?", _CSI)),
)
ATTACHMENT_SPEC: Shape = (
    ("Attacher", "attacher", ""),
    (
        "Source",
        "source",
        (("PersistentVolumeName", "persistentVolumeName", None), ("InlineVolumeSpec", "inlineVolumeSpec", None)),
    ),
    ("NodeName", "nodeName", ""),
)
RESOURCE_CLAIM: Shape = (
    ("Name", "name", ""),
    ("ResourceClaimName", "resourceClaimName", None),
    ("ResourceClaimTemplateName", "resourceClaimTemplateName", None),
)
NODE_ADDRESS: Shape = (("Type", "type", ""), ("Address", "address", ""))


def shown(shape: Shape, value: Obj | None) -> Obj:
    """A value under upstream's names."""
    value = value or {}
    return {name: _field(value.get(key), inside) for name, key, inside in shape}


def _field(value: Any, inside: Any) -> Any:
    if not isinstance(inside, tuple):
        return inside if value is None else value
    if inside and inside[0] == "?":
        return None if value is None else shown(inside[1], value)
    return shown(inside, value)


def difference(shape: Shape, old: Obj, new: Obj) -> str:
    """What tells two values apart, line by line with three lines around it, as upstream appends it to a complaint."""
    before, after = (json.dumps(shown(shape, value), indent=1).splitlines(keepends=True) for value in (old, new))
    return "".join(list(difflib.unified_diff(before, after))[2:])
