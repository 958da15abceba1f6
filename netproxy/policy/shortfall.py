"""What of NetworkPolicies this node cannot enforce, told where people meet it: by a Warning on each policy, and in the
log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.objects import Obj
from netproxy.model import Family

log = logging.getLogger(__name__)
REASON = "NotEnforced"
_BRIDGE_FILTER = {
    Family.IPV4: "net.bridge.bridge-nf-call-iptables",
    Family.IPV6: "net.bridge.bridge-nf-call-ip6tables",
}
_RELAYED = "not enforced for what comes by a Service: userspace mode relays it, and its client is seen as this node"
Event = Callable[[Obj, str, str, str], None]
"""(object, Normal or Warning, reason, message), as EventRecorder.event"""


def of_bridges(families: Iterable[Family], namespace: Path | None = None) -> str:
    """What lets frames between pods of one bridge pass below all rules; empty when nothing does."""
    for family in families:
        switch = _BRIDGE_FILTER[family]
        try:
            if netns.read_sysctl(namespace, switch) != "0":
                continue
            cause = f"{switch} is off"
        except FileNotFoundError:
            cause = "br_netfilter is not loaded (modprobe br_netfilter)"
        return f"not enforced between pods of one bridge: {cause}"
    return ""


def of_mode(mode: str) -> str:
    """What a proxy mode keeps from all rules; empty for nothing."""
    return _RELAYED if mode == "userspace" else ""


class Shortfall:
    """Each policy is told once of what is wrong while it is there. Calls come from one loop."""

    def __init__(self, node: str, event: Event) -> None:
        self._node = node
        self._event = event
        self._problems: dict[str, str] = {}

    def policy_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback for NetworkPolicies."""
        if new is not None and old is None and self._problems:
            self._tell(new)

    def found(self, problem: str, policies: Iterable[Obj], cause: str = "") -> None:
        """What is wrong now by this cause, empty for nothing, and the policies that are there."""
        before = dict(self._problems)
        self._problems.pop(cause, None)
        if problem:
            self._problems[cause] = problem
        if self._problems == before:
            return
        if not self._problems:
            log.info("NetworkPolicies are enforced entirely again")
            return
        log.warning("NetworkPolicies on this node: %s", self._said())
        for policy in policies:
            self._tell(policy)

    def _said(self) -> str:
        return "; ".join(self._problems.values())

    def _tell(self, policy: Obj) -> None:
        self._event(policy, "Warning", REASON, f"on {self._node}: {self._said()}")
