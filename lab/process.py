"""A process that the supervisor keeps up, as a value."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

from apimachinery.kit import netns
from lab import names, privileges
from lab.paths import Paths


@dataclass(frozen=True)
class Process:
    """What to run and where its output goes.

    `node` is "" for the host's processes; `namespace`, `mounts` and `uts` are the paths of a network, a mount
    and a UTS namespace to run in, or "". `capabilities` are those it keeps, `oom_score_adj` what the kernel is asked
    for. `grace` is how many seconds it gets between SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    node: str = ""
    namespace: str = ""
    mounts: str = ""
    uts: str = ""
    capabilities: tuple[str, ...] = privileges.EVERYTHING
    oom_score_adj: int = 0
    grace: float = 10.0

    def command(self) -> list[str]:
        """The argv, entered into its namespaces and then without what it does not need."""
        place = Place(self.namespace, self.mounts, self.uts)
        return [*entering(place), *privileges.dropping(self.capabilities), *self.argv]

    @property
    def is_ours(self) -> bool:
        """Whether it is a module of this program, run by this interpreter."""
        return self.argv[:2] == (sys.executable, "-m")

    def is_run_by(self, arguments: tuple[str, ...]) -> bool:
        """Whether a process with these arguments is this one, perhaps still on its way into its namespaces."""
        return len(arguments) >= len(self.argv) and arguments[-len(self.argv) :] == self.argv


class Place(NamedTuple):
    """The paths of a network, a mount and a UTS namespace; "" where it is the machine's."""

    namespace: str = ""
    mounts: str = ""
    uts: str = ""


def on_node(paths: Paths, node: str) -> Place:
    """What makes the lab's node a machine of its own."""
    network = netns.path_of(names.namespace(paths.lab, node))
    return Place(str(network), str(paths.node_mounts(node)), str(paths.node_hostname(node)))


def entering(place: Place) -> list[str]:
    """What an argv begins with that is run there.

    `nsenter --net` and not `ip netns exec`: the latter would remount /sys and hide the cgroups.
    """
    options = zip(("--net", "--mount", "--uts"), place, strict=True)
    wanted = [f"{option}={path}" for option, path in options if path]
    return ["nsenter", *wanted, "--"] if wanted else []
