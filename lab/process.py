"""A process that the supervisor keeps up, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """What to run and where its output goes.

    ``node`` is "" for the host's processes; ``namespace`` the path of a network namespace to run in, or "".
    ``grace`` is how many seconds it gets between SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    node: str = ""
    namespace: str = ""
    grace: float = 10.0

    def command(self) -> list[str]:
        """The argv, entered into its namespace.

        ``nsenter --net`` and not ``ip netns exec``: the latter would remount /sys and hide the cgroups.
        """
        prefix = ["nsenter", f"--net={self.namespace}", "--"] if self.namespace else []
        return [*prefix, *self.argv]
