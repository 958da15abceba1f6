"""The rows of authentication.k8s.io."""

from __future__ import annotations

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource

SELF_SUBJECT_REVIEW = Resource(kinds.SELF_SUBJECT_REVIEW)
TOKEN_REVIEW = Resource(kinds.TOKEN_REVIEW)


ROWS = (
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
)
