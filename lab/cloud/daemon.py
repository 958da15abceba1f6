"""The lab's cloud controller manager: upstream's loops with the lab as the cloud.

`python -m lab.cloud --config FILE`
"""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.kit.lifecycle import Lifecycle
from controlplane.cloud import app
from controlplane.cloud.interface import Provider
from controlplane.cloud.settings import Settings as CloudSettings
from lab.cloud.announcer import Announcer
from lab.cloud.balancers import LabBalancers
from lab.cloud.instances import PROVIDER, LabInstances
from lab.paths import Paths


@dataclass(frozen=True)
class Settings:
    """Which lab, and the loops' own settings."""

    lab: str
    """The lab's name."""
    cloud: CloudSettings
    """The loops."""

    @property
    def log_level(self) -> str:
        """One process, one level: the loops'."""
        return self.cloud.log_level


async def start(chosen: Settings, lifecycle: Lifecycle) -> None:
    """The loops, with the lab as their cloud."""
    paths = Paths(chosen.lab)
    balancers = LabBalancers(paths, Announcer(chosen.lab))
    provider = Provider(PROVIDER, LabInstances(paths), balancers, work=balancers.run)
    await app.build(chosen.cloud, provider, lifecycle)
