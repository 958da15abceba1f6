"""The rows of batch."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.advice import kinds as advice
from controlplane.apiserver.cache.fields import path, selectable
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy, again, then
from controlplane.apiserver.strategies import workloads as workloads_strategy
from controlplane.apiserver.tables import workloads as workloads_columns
from controlplane.apiserver.validation import jobs as jobs_rules
from controlplane.apiserver.validation import statuses as statuses_rules

CRON_JOB = Resource(
    kinds.CRON_JOB,
    Strategy(
        check_name=jobs_rules.cron_job_name,
        rules=again(jobs_rules.cron_job),
        generation=True,
        warn=advice.template("spec", "jobTemplate", "spec", "template"),
    ),
    columns=workloads_columns.CRON_JOB,
)
JOB = Resource(
    kinds.JOB,
    Strategy(
        prepare_create=workloads_strategy.job_created,
        default_orphan=True,
        rules=then(jobs_rules.job, jobs_rules.job_change, status=statuses_rules.job),
        generation=True,
        warn=advice.template("spec", "template"),
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
