"""Whether the community has approved of a definition in one of its own groups, as an annotation says. Pure."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from apimachinery.objects import Obj

ANNOTATION = "api-approved.kubernetes.io"
SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
NEEDED = f'protected groups must have approval annotation "{ANNOTATION}"'
NEITHER = f'{NEEDED} with either a URL or a reason starting with "unapproved", {SEE}'
Approval = Literal["missing", "bypassed", "invalid", "approved"]


def is_protected(group: str) -> bool:
    """Whether it is one of the community's."""
    return f".{group}".endswith((".k8s.io", ".kubernetes.io"))


def said(definition: Obj) -> str:
    """The annotation, "" where there is none."""
    return str((definition["metadata"].get("annotations") or {}).get(ANNOTATION) or "")


def approved(definition: Obj) -> Approval:
    """What it comes to."""
    text = said(definition)
    if not text or text.startswith("unapproved"):
        return "bypassed" if text else "missing"
    try:
        url = urlsplit(text)
    except ValueError:
        return "invalid"
    return "approved" if url.scheme and url.netloc else "invalid"
