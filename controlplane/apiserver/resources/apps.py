"""The rows of apps."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Rules, Strategy, then
from controlplane.apiserver.strategies import workloads as workloads_strategy
from controlplane.apiserver.tables import workloads as workloads_columns
from controlplane.apiserver.validation import core as core_rules
from controlplane.apiserver.validation import statuses as statuses_rules
from controlplane.apiserver.validation import workloads as workloads_rules

CONTROLLER_REVISION = Resource(
    kinds.CONTROLLER_REVISION,
    Strategy(rules=Rules(new=core_rules.controller_revision, change=core_rules.controller_revision_change)),
    columns=workloads_columns.CONTROLLER_REVISION,
)
DAEMON_SET = Resource(
    kinds.DAEMON_SET,
    Strategy(
        prepare_create=workloads_strategy.daemon_set_created,
        prepare_update=workloads_strategy.daemon_set_changed,
        prepare_status=workloads_strategy.daemon_set_status,
        rules=then(workloads_rules.daemon_set, workloads_rules.frozen_selector, status=statuses_rules.daemon_set),
        generation=True,
        warn=advice.template("spec", "template"),
    ),
    columns=workloads_columns.DAEMON_SET,
)
DEPLOYMENT = Resource(
    kinds.DEPLOYMENT,
    Strategy(
        counts_annotations=True,
        rules=then(workloads_rules.deployment, workloads_rules.frozen_selector, status=statuses_rules.deployment),
        generation=True,
        status_keeps=("labels",),
        warn=advice.template("spec", "template"),
    ),
    columns=workloads_columns.DEPLOYMENT,
)
REPLICA_SET = Resource(
    kinds.REPLICA_SET,
    Strategy(
        rules=then(workloads_rules.replica_set, workloads_rules.frozen_selector, status=statuses_rules.replica_set),
        generation=True,
        warn=advice.template("spec", "template"),
    ),
    columns=workloads_columns.REPLICA_SET,
)
STATEFUL_SET = Resource(
    kinds.STATEFUL_SET,
    Strategy(
        prepare_create=workloads_strategy.stateful_set_created,
        prepare_update=workloads_strategy.stateful_set_changed,
        rules=Rules(
            status=statuses_rules.stateful_set,
            new=workloads_rules.stateful_set,
            change=workloads_rules.stateful_set_change,
        ),
        generation=True,
        warn=advice.template("spec", "template"),
    ),
    columns=workloads_columns.STATEFUL_SET,
)


ROWS = (
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
)
