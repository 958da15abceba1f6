"""Which image a container asks for, and when it is pulled.

Source: https://kubernetes.io/docs/concepts/containers/images/#imagepullpolicy-defaulting .
"""

from __future__ import annotations


def pull_policy(image: str) -> str:
    """The default of imagePullPolicy: Always for the tag ``latest`` (beside a digest, too) and for a bare name, else
    IfNotPresent."""
    name, _, digest = image.rpartition("/")[2].partition("@")
    tag = name.partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not digest) else "IfNotPresent"
