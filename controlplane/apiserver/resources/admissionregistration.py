"""The rows of admissionregistration.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import OWN_METADATA, Strategy, again
from controlplane.apiserver.tables import cluster as cluster_columns
from controlplane.apiserver.validation import policies as policies_rules
from controlplane.apiserver.validation import webhooks as webhooks_rules

MUTATING_ADMISSION_POLICY = Resource(
    kinds.MUTATING_ADMISSION_POLICY,
    Strategy(rules=again(policies_rules.mutating), generation=True),
    columns=cluster_columns.MUTATING_ADMISSION_POLICY,
)
MUTATING_ADMISSION_POLICY_BINDING = Resource(
    kinds.MUTATING_ADMISSION_POLICY_BINDING,
    Strategy(rules=again(policies_rules.mutating_binding), generation=True),
    columns=cluster_columns.MUTATING_ADMISSION_POLICY_BINDING,
)
MUTATING_WEBHOOK_CONFIGURATION = Resource(
    kinds.MUTATING_WEBHOOK_CONFIGURATION,
    Strategy(rules=again(webhooks_rules.mutating), generation=True),
    columns=cluster_columns.MUTATING_WEBHOOK_CONFIGURATION,
)
VALIDATING_ADMISSION_POLICY = Resource(
    kinds.VALIDATING_ADMISSION_POLICY,
    Strategy(rules=again(policies_rules.validating), generation=True, status_keeps=OWN_METADATA),
    columns=cluster_columns.VALIDATING_ADMISSION_POLICY,
)
VALIDATING_ADMISSION_POLICY_BINDING = Resource(
    kinds.VALIDATING_ADMISSION_POLICY_BINDING,
    Strategy(rules=again(policies_rules.binding), generation=True),
    columns=cluster_columns.VALIDATING_ADMISSION_POLICY_BINDING,
)
VALIDATING_WEBHOOK_CONFIGURATION = Resource(
    kinds.VALIDATING_WEBHOOK_CONFIGURATION,
    Strategy(rules=again(webhooks_rules.validating), generation=True),
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
