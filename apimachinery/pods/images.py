"""Which image a container asks for, and when it is pulled.

Source: https://kubernetes.io/docs/concepts/containers/images/#imagepullpolicy-defaulting .
"""

from __future__ import annotations

import re

_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG, _DIGEST = r"\w[\w.-]{0,127}", r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)


_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_LONGEST_PATH = 255
_DEFAULT_DOMAINS = ("docker.io", "index.docker.io")


def _names_an_image(text: str) -> bool:
    return (
        _REFERENCE.fullmatch(text) is not None
        and _IDENTIFIER.fullmatch(text) is None
        and len(_path(text)) <= _LONGEST_PATH
    )


def _path(image: str) -> str:
    """The repository within its registry; one of a single part lies in `library` of the default registry."""
    first, slash, rest = image.partition("/")
    is_domain = bool(slash) and (first == "localhost" or "." in first or ":" in first or first != first.lower())
    path = (rest if is_domain else image).partition("@")[0].partition(":")[0]
    return f"library/{path}" if "/" not in path and (not is_domain or first in _DEFAULT_DOMAINS) else path


def pull_policy(image: str) -> str:
    """The default of imagePullPolicy: Always for the tag `latest` (beside a digest, too) and for a bare name, else
    IfNotPresent. A text that names no image has no tag either: IfNotPresent."""
    if not _names_an_image(image):
        return "IfNotPresent"
    name, _, digest = image.rpartition("/")[2].partition("@")
    tag = name.partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not digest) else "IfNotPresent"
