"""What every loop of a cloud is given."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.client import Client
from apimachinery.events import EventRecorder
from controlplane.cloud.settings import Settings
from controlplane.controllers.context import Informers


@dataclass(frozen=True)
class Context:
    """`recorder` writes Events under the loop's name; informers are shared by all loops of the process."""

    client: Client
    recorder: EventRecorder
    informers: Informers
    settings: Settings
