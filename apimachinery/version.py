"""The version of Kubernetes that every component says it is: of the API that is spoken, and not upstream's own."""

from __future__ import annotations

import platform

GIT_VERSION = "v1.36.2+wherry"
MINOR = "1.36"


def language() -> str:
    """What upstream's goVersion stands for."""
    return f"python{platform.python_version()}"
