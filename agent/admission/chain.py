"""The checks in upstream's order; the first that refuses decides. Pure."""

from __future__ import annotations

from collections.abc import Callable

from agent.admission import apparmor, features, predicates, sysctls
from agent.admission.model import Decision, NodeFacts, Refusal
from apimachinery.objects import Obj


def _plain(check: Callable[[Obj, NodeFacts], Refusal | None]) -> Callable[[Obj, NodeFacts], Decision]:
    return lambda pod, facts: Decision(check(pod, facts))


# Upstream's list also holds eviction (no pressure is ever raised here), the topology manager and the manager of a
# node's shutdown. Whether there are devices is asked when they are given (`agent/devices/plugins`).
CHECKS: tuple[Callable[[Obj, NodeFacts], Decision], ...] = (
    _plain(sysctls.check),
    predicates.check,
    _plain(apparmor.check),
    _plain(features.check),
)


def decide(pod: Obj, facts: NodeFacts) -> Decision:
    """Whether the pod may run here, and who must go before it does."""
    victims: tuple[str, ...] = ()
    for check in CHECKS:
        decision = check(pod, facts)
        if decision.refusal is not None:
            return decision
        victims += decision.victims
    return Decision(victims=victims)
