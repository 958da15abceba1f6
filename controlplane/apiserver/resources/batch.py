"""The rows of batch."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import workloads as advice
from controlplane.apiserver.cache.selectable import path, selectable
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import NEW_THEN_CHANGE, Strategy, read_back
from controlplane.apiserver.strategies import workloads as workloads_strategy
from controlplane.apiserver.tables import workloads as workloads_columns

CRON_JOB = Resource(
    kinds.CRON_JOB,
    Strategy(
        status_metadata_checks=(),
        prepare_create=workloads_strategy.cron_job_created,
        prepare_update=workloads_strategy.cron_job_changed,
        generation=True,
        warn=advice.cron_job,
    ),
    columns=workloads_columns.CRON_JOB,
)
JOB = Resource(
    kinds.JOB,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        prepare_create=workloads_strategy.job_created,
        prepare_update=workloads_strategy.template_changed,
        # A Job without labels has those of its template.
        finish=read_back,
        dependents="stay",
        generation=True,
        warn=advice.job,
        warn_deleted=advice.job_deleted,
    ),
    columns=workloads_columns.JOB,
    fields=selectable(
        read={"status.successful": path("status.succeeded", "0")}, refusal='field label "{path}" not supported for Job'
    ),
)


ROWS = (
    CRON_JOB,
    JOB,
)
