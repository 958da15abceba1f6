"""The rows of admissionregistration.k8s.io."""

from __future__ import annotations

from dataclasses import replace

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy
from controlplane.apiserver.tables import cluster as cluster_columns

_STRATEGY = Strategy(
    weight=16,
    plain_metadata=True,
    metadata_checks=("plain new",),
    status_metadata_checks=(),
    generation=True,
    names_version=True,
    warn=advice.reserved_name,
)

MUTATING_ADMISSION_POLICY = Resource(
    kinds.MUTATING_ADMISSION_POLICY,
    _STRATEGY,
    columns=cluster_columns.MUTATING_ADMISSION_POLICY,
)
MUTATING_ADMISSION_POLICY_BINDING = Resource(
    kinds.MUTATING_ADMISSION_POLICY_BINDING,
    _STRATEGY,
    columns=cluster_columns.MUTATING_ADMISSION_POLICY_BINDING,
)
MUTATING_WEBHOOK_CONFIGURATION = Resource(
    kinds.MUTATING_WEBHOOK_CONFIGURATION,
    replace(_STRATEGY, counts_empties=True),
    columns=cluster_columns.MUTATING_WEBHOOK_CONFIGURATION,
)
VALIDATING_ADMISSION_POLICY = Resource(
    kinds.VALIDATING_ADMISSION_POLICY,
    replace(_STRATEGY, status_keeps=OWN_METADATA),
    columns=cluster_columns.VALIDATING_ADMISSION_POLICY,
)
VALIDATING_ADMISSION_POLICY_BINDING = Resource(
    kinds.VALIDATING_ADMISSION_POLICY_BINDING,
    _STRATEGY,
    columns=cluster_columns.VALIDATING_ADMISSION_POLICY_BINDING,
)
VALIDATING_WEBHOOK_CONFIGURATION = Resource(
    kinds.VALIDATING_WEBHOOK_CONFIGURATION,
    replace(_STRATEGY, counts_empties=True),
    columns=cluster_columns.VALIDATING_WEBHOOK_CONFIGURATION,
)


ROWS = (
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
    VALIDATING_WEBHOOK_CONFIGURATION,
)
