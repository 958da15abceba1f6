"""The cloud's memory: which load balancers there are. A file, so that who has which address outlives the daemon."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from apimachinery.kit import settings
from apimachinery.kit.files import write_atomic
from lab.cloud.plan import Balancer

log = logging.getLogger(__name__)


class Memory:
    """Load balancers by name, as they were last written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.balancers: dict[str, Balancer] = {}

    def load(self) -> None:
        """Read the file. A damaged one counts as none: each Service says in its status what address it has."""
        try:
            read = json.loads(self._path.read_bytes())
            found = [settings.of(Balancer, each) for each in read]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, settings.SettingsError) as error:
            log.warning("%s is damaged (%s): load balancers are made anew from their Services", self._path, error)
            return
        self.balancers = {each.name: each for each in found}

    def keep(self, balancer: Balancer) -> None:
        """Remember it, on disk first. Raises OSError."""
        self._write({**self.balancers, balancer.name: balancer})

    def forget(self, name: str) -> None:
        """Forget it; one that is not known is no error. Raises OSError."""
        if name in self.balancers:
            self._write({key: each for key, each in self.balancers.items() if key != name})

    def _write(self, balancers: dict[str, Balancer]) -> None:
        text = json.dumps([dataclasses.asdict(each) for each in balancers.values()], indent=1)
        write_atomic(self._path, text.encode(), 0o600)
        self.balancers = balancers
