"""Which texts name an image, in the kubelet's words."""

from __future__ import annotations

import pytest

from agent.containers.references import with_default_tag

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("team/app", "team/app:latest"),
        (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("REGISTRY/app", "REGISTRY/app:latest"),
        ("[fd00::1]:5000/app:v1", "[fd00::1]:5000/app:v1"),
        ("example.com/a__b/c-d.e", "example.com/a__b/c-d.e:latest"),
        # The registry's name does not count, the library that a short name is in does.
        (f"registry.example.com/{'a' * 255}", f"registry.example.com/{'a' * 255}:latest"),
        ("a" * 247, f"{'a' * 247}:latest"),
    ],
)
def test_names_without_tag_or_digest_get_the_latest(image: str, whole: str) -> None:
    assert with_default_tag(image) == whole


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("", "invalid reference format"),
        ("app:", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("app:" + "t" * 129, "invalid reference format"),
        ("example.com/", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        ("team/App:1", "invalid reference format: repository name (team/App) must be lowercase"),
        ("a" * 248, "repository name must not be more than 255 characters"),
        (f"example.com/{'a' * 256}:1", "repository name must not be more than 255 characters"),
        ("ab" * 32, f"invalid repository name ({'ab' * 32}), cannot specify 64-byte hexadecimal strings"),
        (f"app@{DIGEST[:-1]}", "invalid checksum digest length"),
        (f"app@sha256:{'A' * 64}", "invalid checksum digest format"),
        (f"app@md5:{'a' * 32}", "unsupported digest algorithm"),
    ],
)
def test_others_are_refused(image: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        with_default_tag(image)
    assert str(refused.value) == f'couldn\'t parse image name "{image}": {why}'
