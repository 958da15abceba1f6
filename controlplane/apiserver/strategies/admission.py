"""Webhook configurations and admission policies: their rules."""

from __future__ import annotations

from controlplane.apiserver.strategies.rows import Rows, again
from controlplane.apiserver.validation import policies, webhooks

_GROUP = "admissionregistration.k8s.io"

ROWS: Rows = {
    f"validatingwebhookconfigurations.{_GROUP}": again(webhooks.validating),
    f"mutatingwebhookconfigurations.{_GROUP}": again(webhooks.mutating),
    f"validatingadmissionpolicies.{_GROUP}": again(policies.validating),
    f"mutatingadmissionpolicies.{_GROUP}": again(policies.mutating),
    f"validatingadmissionpolicybindings.{_GROUP}": again(policies.binding),
    f"mutatingadmissionpolicybindings.{_GROUP}": again(policies.mutating_binding),
}
