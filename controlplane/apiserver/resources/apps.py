"""The rows of apps."""

from __future__ import annotations

from apimachinery import formats, kinds
from controlplane.apiserver.advice import workloads as advice
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import CHANGE_THEN_NEW, Strategy
from controlplane.apiserver.strategies import workloads as workloads_strategy
from controlplane.apiserver.tables import workloads as workloads_columns

CONTROLLER_REVISION = Resource(
    kinds.CONTROLLER_REVISION,
    Strategy(metadata_checks=CHANGE_THEN_NEW),
    columns=workloads_columns.CONTROLLER_REVISION,
)
DAEMON_SET = Resource(
    kinds.DAEMON_SET,
    Strategy(
        prepare_create=workloads_strategy.daemon_set_created,
        prepare_update=workloads_strategy.daemon_set_changed,
        prepare_status=workloads_strategy.daemon_set_status,
        generation=True,
        warn=advice.daemon_set,
    ),
    columns=workloads_columns.DAEMON_SET,
)
DEPLOYMENT = Resource(
    kinds.DEPLOYMENT,
    Strategy(
        prepare_create=workloads_strategy.template_created,
        prepare_update=workloads_strategy.template_changed,
        counts_annotations=True,
        generation=True,
        status_keeps=("labels",),
        warn=advice.template("spec", "template"),
    ),
    columns=workloads_columns.DEPLOYMENT,
)
REPLICA_SET = Resource(
    kinds.REPLICA_SET,
    Strategy(
        prepare_create=workloads_strategy.template_created,
        prepare_update=workloads_strategy.template_changed,
        generation=True,
        warn=advice.template("spec", "template"),
    ),
    columns=workloads_columns.REPLICA_SET,
)
STATEFUL_SET = Resource(
    kinds.STATEFUL_SET,
    Strategy(
        check_name=formats.dns1123_label,
        prepare_create=workloads_strategy.stateful_set_created,
        prepare_update=workloads_strategy.stateful_set_changed,
        generation=True,
        warn=advice.stateful_set,
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
