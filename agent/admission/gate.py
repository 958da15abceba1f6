"""Gathers what admission is decided from, and tells what was decided."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from agent import podspec
from agent.admission import apparmor, sysctls
from agent.admission.chain import decide
from agent.admission.model import Decision, Held, NodeFacts
from agent.admission.predicates import NODE_AFFINITY
from agent.settings import AgentSettings
from apimachinery.errors import ApiError, Unreachable
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_FRESH_SECONDS = 5.0
# The admitted pods that are not at their end, but for the one of this uid.
Others = Callable[[str], tuple[Obj, ...]]


class Gate:
    """`node`: our Node as last seen; `fresh`: read anew, None where it cannot be. Raises SysctlPatternError for
    settings that are wrong."""

    def __init__(
        self,
        settings: AgentSettings,
        node: Callable[[], Obj],
        fresh: Callable[[], Awaitable[Obj | None]],
    ) -> None:
        self._node = node
        self._fresh = fresh
        self._sysctls = sysctls.allowed(os.uname().release, settings.allowed_unsafe_sysctls)
        self._held: dict[str, Held] = {}
        # As upstream: a module loaded later needs a new start.
        self._apparmor_missing = apparmor.missing()

    def decide(self, pod: Obj, others: Others) -> Decision:
        """Without a pause: two pods that come at once are judged one after the other."""
        return self._decide(pod, self._node(), others)

    async def reconsider(self, pod: Obj, decision: Decision, others: Others) -> Decision:
        """A second look where only the node's labels stood against it: they may be newer than what we saw."""
        if decision.refusal is None or decision.refusal.reason != NODE_AFFINITY:
            return decision
        try:
            node = await asyncio.wait_for(self._fresh(), _FRESH_SECONDS)
        except (ApiError, Unreachable, asyncio.TimeoutError) as error:
            log.info("pod %s: node not read anew: %s", podspec.full_name(pod), error)
            return decision
        return decision if node is None else self._decide(pod, node, others)

    def _decide(self, pod: Obj, node: Obj, others: Others) -> Decision:
        held = {}
        for other in others(podspec.uid(pod)):
            uid = podspec.uid(other)
            known = self._held.get(uid)
            # Quantities are read once for each version of a pod, not once for each newcomer.
            held[uid] = known if known is not None and known.pod is other else Held.of(other)
        self._held = held
        return decide(pod, NodeFacts(node, tuple(held.values()), self._sysctls, self._apparmor_missing))
