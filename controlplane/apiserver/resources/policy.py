"""The rows of policy."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy, again
from controlplane.apiserver.tables import network as network_columns
from controlplane.apiserver.validation import policy as policy_rules

POD_DISRUPTION_BUDGET = Resource(
    kinds.POD_DISRUPTION_BUDGET,
    Strategy(rules=again(policy_rules.budget, status=policy_rules.budget_status), generation=True),
    columns=network_columns.POD_DISRUPTION_BUDGET,
)


ROWS = (POD_DISRUPTION_BUDGET,)
