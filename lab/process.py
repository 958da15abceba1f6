"""A process that the supervisor keeps up, as a value."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lab import privileges


@dataclass(frozen=True)
class Process:
    """What to run and where its output goes.

    `node` is "" for the host's processes; `namespace` and `mounts` are the paths of a network and a mount
    namespace to run in, or "". `capabilities` are those it keeps, `oom_score_adj` what the kernel is asked for.
    `grace` is how many seconds it gets between SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    node: str = ""
    namespace: str = ""
    mounts: str = ""
    capabilities: tuple[str, ...] = privileges.EVERYTHING
    oom_score_adj: int = 0
    grace: float = 10.0

    def command(self) -> list[str]:
        """The argv, entered into its namespaces and then without what it does not need."""
        return [*entering(self.namespace, self.mounts), *privileges.dropping(self.capabilities), *self.argv]

    @property
    def is_ours(self) -> bool:
        """Whether it is a module of this program, run by this interpreter."""
        return self.argv[:2] == (sys.executable, "-m")

    def is_run_by(self, arguments: tuple[str, ...]) -> bool:
        """Whether a process with these arguments is this one, perhaps still on its way into its namespaces."""
        return len(arguments) >= len(self.argv) and arguments[-len(self.argv) :] == self.argv


def entering(namespace: str, mounts: str) -> list[str]:
    """What an argv begins with that is run in a network and a mount namespace (paths, or "").

    `nsenter --net` and not `ip netns exec`: the latter would remount /sys and hide the cgroups.
    """
    wanted = [f"--net={namespace}"] * bool(namespace) + [f"--mount={mounts}"] * bool(mounts)
    return ["nsenter", *wanted, "--"] if wanted else []
