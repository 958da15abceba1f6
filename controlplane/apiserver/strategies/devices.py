"""Dynamic resource allocation: its rules."""

from __future__ import annotations

from controlplane.apiserver.strategies.rows import Rows, again, then
from controlplane.apiserver.validation import devices

ROWS: Rows = {
    "resourceclaims.resource.k8s.io": then(devices.claim, devices.spec_change),
    "resourceclaimtemplates.resource.k8s.io": then(devices.template, devices.spec_change),
    "deviceclasses.resource.k8s.io": again(devices.device_class),
    "resourceslices.resource.k8s.io": then(devices.resource_slice, devices.resource_slice_change),
}
