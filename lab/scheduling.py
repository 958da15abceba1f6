"""How a lab's scheduler chooses: a KubeSchedulerConfiguration of the user's, and plugins of theirs beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from apimachinery.kit import settings
from lab.spec import SpecError


def scheduler_settings(file: str) -> dict[str, Any]:
    """What of the scheduler's settings such a file makes; nothing where there is none ("")."""
    return {"configuration": _values(Path(file)), "plugin_path": [str(Path(file).parent)]} if file else {}


def checked(file: str | None) -> str:
    """The file's full name, if a scheduler can be made of it. SpecError."""
    if not file:
        return ""
    # Every command that makes a process's settings comes by here, and units start by such: none but this needs the
    # whole scheduler, which takes longer to load than all the rest.
    from controlplane.scheduler import configuration, profiles
    from controlplane.scheduler.devices.holdings import Devices
    from controlplane.scheduler.storage import Storage

    path = Path(file).resolve()
    sys.path.append(str(path.parent))
    try:
        profiles.build(configuration.read(_values(path)), Storage(), Devices())
    except configuration.ConfigurationError as error:
        raise SpecError(f"--scheduler-config {path}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return str(path)


def _values(path: Path) -> dict[str, Any]:
    try:
        return settings.read_mapping(path)
    except settings.SettingsError as error:
        raise SpecError(f"--scheduler-config: {error}") from error
