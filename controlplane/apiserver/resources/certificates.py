"""The rows of certificates.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.cache.selectable import selectable
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import NEW_THEN_CHANGE, Strategy
from controlplane.apiserver.strategies import certificates as certificates_strategy
from controlplane.apiserver.tables import cluster as cluster_columns

CERTIFICATE_SIGNING_REQUEST = Resource(
    kinds.CERTIFICATE_SIGNING_REQUEST,
    Strategy(
        metadata_checks=NEW_THEN_CHANGE,
        status_metadata_checks=NEW_THEN_CHANGE,
        prepare_update=certificates_strategy.changed,
        prepare_status=certificates_strategy.status,
        check_name=path_segment,
        unowned=certificates_strategy.UNOWNED,
    ),
    columns=cluster_columns.CERTIFICATE_SIGNING_REQUEST,
    fields=selectable("spec.signerName"),
)


ROWS = (CERTIFICATE_SIGNING_REQUEST,)
