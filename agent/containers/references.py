"""References to images: which texts are one, and the tag of those that name none. Pure.

Source: the grammar of the distribution project's reference package, whose words the kubelet hands on.
"""

from __future__ import annotations

import re

_HOST = r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.[a-zA-Z0-9-]+)*|\[[a-fA-F0-9:]+\])(?::\d+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"{_HOST}/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?P<tag>:[\w][\w.-]{0,127})?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_LONGEST_PATH = 255
# Hexadecimal digits of a digest, by its algorithm.
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


def with_default_tag(image: str) -> str:
    """`image`, `:latest` added where it names neither tag nor digest. Raises ValueError with upstream's text."""
    if re.fullmatch("[a-f0-9]{64}", image):
        raise _wrong(image, f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings")
    registry, rest = _registry(image)
    name = rest.partition(":")[0]
    if name != name.lower():
        raise _wrong(image, f"invalid reference format: repository name ({name}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{registry}/{rest}")
    if match is None:
        raise _wrong(image, "invalid reference format")
    if len(match["path"]) > _LONGEST_PATH:
        raise _wrong(image, f"repository name must not be more than {_LONGEST_PATH} characters")
    if match["digest"] and (why := _digest_complaint(match["digest"])):
        raise _wrong(image, why)
    return image if match["tag"] or match["digest"] else f"{image}:latest"


def _registry(image: str) -> tuple[str, str]:
    """The registry and what follows it; a name without one is Docker Hub's."""
    first, slash, rest = image.partition("/")
    if not slash:
        return "docker.io", f"library/{image}"
    named = first == "localhost" or bool(set(".:") & set(first)) or first != first.lower()
    return (first, rest) if named else ("docker.io", image)


def _digest_complaint(digest: str) -> str:
    algorithm, _, digits = digest.partition(":")
    if algorithm not in _DIGITS:
        return "unsupported digest algorithm"
    if len(digits) != _DIGITS[algorithm]:
        return "invalid checksum digest length"
    return "" if digits == digits.lower() else "invalid checksum digest format"


def _wrong(image: str, why: str) -> ValueError:
    return ValueError(f'couldn\'t parse image name "{image}": {why}')
