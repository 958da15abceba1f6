"""The rows of authorization.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource

LOCAL_SUBJECT_ACCESS_REVIEW = Resource(kinds.LOCAL_SUBJECT_ACCESS_REVIEW)
SELF_SUBJECT_ACCESS_REVIEW = Resource(kinds.SELF_SUBJECT_ACCESS_REVIEW)
SELF_SUBJECT_RULES_REVIEW = Resource(kinds.SELF_SUBJECT_RULES_REVIEW)
SUBJECT_ACCESS_REVIEW = Resource(kinds.SUBJECT_ACCESS_REVIEW)


ROWS = (
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
)
